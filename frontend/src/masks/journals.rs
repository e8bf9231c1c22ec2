//! Unsaved work in the browser's own database, where it survives the page.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use idb::{Database, DatabaseEvent, Error, Factory, ObjectStoreParams, Query, Transaction, TransactionMode};
use mudi_editor::mask::Journal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BroadcastChannel, MessageEvent};

use crate::browser;

/// How pages tell each other that a mask was saved, and that they are there.
pub(super) const CHANNEL: &str = "mudi-masks";
const DATABASE: &str = "mudi-masks";
const STORE: &str = "journals";
/// A journal of another tab that was not written for so long belongs to a page that is gone, unless that says otherwise, in
/// milliseconds.
const ABANDONED: i64 = 10_000;
/// How long pages have to say that they are there, in milliseconds. One that is put to sleep by the browser says nothing.
const PATIENCE: u32 = 1000;
/// What the tab remembers of its pages that are gone: their numbers. A tab that is duplicated has them too, but not the number of
/// the page that is open.
const GONE: &str = "mudi-pages";
/// How many of them.
const MOST_GONE: usize = 50;

/// A journal with what is needed to find its owner.
#[derive(Serialize, Deserialize)]
struct Kept {
    journal: Journal,
    written: i64,
}

/// A journal that an earlier page has left behind.
#[derive(Clone)]
pub(super) struct Left {
    pub(super) journal: Journal,
    key: String,
}

/// The journals of one photo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Journals {
    photo: Uuid,
    /// The page's number, at random: no page writes what another one has kept.
    page: u32,
}

impl Journals {
    /// For a page of that photo.
    pub(super) fn of(photo: Uuid) -> Self {
        Self { photo, page: (js_sys::Math::random() * f64::from(u32::MAX)) as u32 }
    }

    fn prefix(self) -> String {
        format!("{}/", self.photo)
    }

    /// The name of the page's own journal.
    pub(super) fn key(self) -> String {
        format!("{}{}", self.prefix(), self.page)
    }

    /// What asks the pages that are open on the photo for the names of their journals.
    pub(super) fn question(self) -> String {
        format!("{}?", self.photo)
    }

    /// The names of the journals of the pages that are open on the photo, in all tabs.
    async fn open_pages(self) -> Vec<String> {
        let heard = Rc::new(RefCell::new(Vec::new()));
        // A browser without it has no other tab that could answer.
        let Ok(channel) = BroadcastChannel::new(CHANNEL) else { return Vec::new() };
        let hears = heard.clone();
        let hear = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            hears.borrow_mut().extend(event.data().as_string());
        });
        channel.set_onmessage(Some(hear.as_ref().unchecked_ref()));
        if channel.post_message(&JsValue::from(self.question())).is_ok() {
            TimeoutFuture::new(PATIENCE).await;
        }
        channel.set_onmessage(None);
        channel.close();
        heard.take()
    }

    /// The page is left: this tab's next one need not wait before it takes what was kept.
    pub(super) fn leave(self) {
        let mut pages = gone();
        pages.retain(|page| *page != self.page);
        let from = (pages.len() + 1).saturating_sub(MOST_GONE);
        pages.drain(..from);
        pages.push(self.page);
        let texts: Vec<String> = pages.iter().map(u32::to_string).collect();
        browser::tab_remembers(GONE, &texts.join(","));
    }

    /// Keeps a journal, or forgets it; with it goes the one that was left behind and is settled now.
    pub(super) async fn keep(self, journal: Option<Journal>, settled: Option<&Left>) -> Result<(), Error> {
        let (database, transaction) = begin().await?;
        let store = transaction.object_store(STORE)?;
        let key = JsValue::from(self.key());
        match journal {
            Some(journal) => {
                let kept = Kept { journal, written: browser::now() };
                // Numbers, texts and lists always serialize.
                let text = serde_json::to_string(&kept).unwrap_or_default();
                store.put(&JsValue::from(text), Some(&key))?.await?;
            }
            None => store.delete(Query::from(key))?.await?,
        }
        if let Some(settled) = settled {
            store.delete(Query::from(JsValue::from(&settled.key)))?.await?;
        }
        transaction.commit()?.await?;
        database.close();
        Ok(())
    }

    /// The journal that a page has left behind: one of this tab, or else of another tab that is gone. It stays until it is
    /// settled, so that a page which ends before that loses nothing.
    pub(super) async fn find(self) -> Result<Option<Left>, Error> {
        let (database, transaction) = begin().await?;
        let store = transaction.object_store(STORE)?;
        let keys = store.get_all_keys(None, None)?.await?;
        let keys = keys.into_iter().filter_map(|key| key.as_string());
        let mut keys: Vec<String> = keys.filter(|key| key.starts_with(&self.prefix())).collect();
        // What this tab has left last comes first.
        let pages = gone();
        let place = |key: &str| pages.iter().rposition(|page| key == Self { page: *page, ..self }.key());
        keys.sort_by_key(|key| std::cmp::Reverse(place(key)));
        let mut found = Vec::new();
        for key in keys {
            let value = store.get(Query::from(JsValue::from(&key)))?.await?;
            let text = value.and_then(|value| value.as_string());
            match text.and_then(|text| serde_json::from_str::<Kept>(&text).ok()) {
                Some(kept) if place(&key).is_some() => {
                    found = vec![Left { journal: kept.journal, key }];
                    break;
                }
                Some(kept) if browser::now() - kept.written > ABANDONED => {
                    found.push(Left { journal: kept.journal, key });
                }
                Some(_) => {}
                // Nobody can read it.
                None => store.delete(Query::from(JsValue::from(&key)))?.await?,
            }
        }
        transaction.commit()?.await?;
        database.close();
        // Whoever does nothing for a while, or has no network, writes nothing and is there all the same.
        if found.iter().any(|left| place(&left.key).is_none()) {
            let open = self.open_pages().await;
            found.retain(|left| !open.contains(&left.key));
        }
        Ok(found.into_iter().next())
    }
}

/// The numbers of this tab's pages that are gone, the last one at the end.
fn gone() -> Vec<u32> {
    let known = browser::tab_remembered(GONE).unwrap_or_default();
    known.split(',').filter_map(|page| page.parse().ok()).collect()
}

/// Opens the database, to read and to write.
async fn begin() -> Result<(Database, Transaction), Error> {
    let factory = Factory::new()?;
    let mut request = factory.open(DATABASE, Some(1))?;
    request.on_upgrade_needed(|event| {
        // Where the store cannot be made, opening it says so.
        if let Ok(database) = event.database() {
            let _ = database.create_object_store(STORE, ObjectStoreParams::new());
        }
    });
    let database = request.await?;
    let transaction = database.transaction(&[STORE], TransactionMode::ReadWrite)?;
    Ok((database, transaction))
}
