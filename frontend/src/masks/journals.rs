//! Unsaved work in the browser's own database, where it survives the page.

use idb::{Database, DatabaseEvent, Error, Factory, ObjectStoreParams, Query, Transaction, TransactionMode};
use mudi_editor::mask::Journal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wasm_bindgen::JsValue;

use crate::browser;

const DATABASE: &str = "mudi-masks";
const STORE: &str = "journals";
/// A journal of another tab that was not written for so long belongs to a page that is gone, in milliseconds.
const ABANDONED: i64 = 10_000;
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

    fn key(self) -> String {
        format!("{}{}", self.prefix(), self.page)
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
        let mut found = None;
        for key in keys {
            let value = store.get(Query::from(JsValue::from(&key)))?.await?;
            let text = value.and_then(|value| value.as_string());
            match text.and_then(|text| serde_json::from_str::<Kept>(&text).ok()) {
                Some(kept) if place(&key).is_some() || browser::now() - kept.written > ABANDONED => {
                    found = Some(Left { journal: kept.journal, key });
                    break;
                }
                Some(_) => {}
                // Nobody can read it.
                None => store.delete(Query::from(JsValue::from(&key)))?.await?,
            }
        }
        transaction.commit()?.await?;
        database.close();
        Ok(found)
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
