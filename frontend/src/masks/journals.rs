//! Unsaved work in the browser's own database, where it survives the page.

use idb::{Database, DatabaseEvent, Error, Factory, ObjectStoreParams, Query, TransactionMode};
use mudi_editor::mask::Journal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wasm_bindgen::JsValue;

use crate::browser;

const DATABASE: &str = "mudi-masks";
const STORE: &str = "journals";
/// A journal of another window that was not written for so long belongs to one that is gone, in milliseconds.
const ABANDONED: i64 = 10_000;

/// A journal with what is needed to find its owner.
#[derive(Serialize, Deserialize)]
struct Kept {
    journal: Journal,
    written: i64,
}

/// The journals of one photo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Journals {
    photo: Uuid,
    /// This window's number, which it keeps when it is loaded again.
    window: u32,
}

impl Journals {
    pub(super) fn of(photo: Uuid) -> Self {
        Self { photo, window: window() }
    }

    fn prefix(self) -> String {
        format!("{}/", self.photo)
    }

    fn key(self) -> String {
        format!("{}{}", self.prefix(), self.window)
    }

    /// Keeps a journal, or forgets it.
    pub(super) async fn keep(self, journal: Option<Journal>) -> Result<(), Error> {
        let database = open().await?;
        let transaction = database.transaction(&[STORE], TransactionMode::ReadWrite)?;
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
        transaction.commit()?.await?;
        database.close();
        Ok(())
    }

    /// Takes the journal of this window, or else of one that is gone.
    pub(super) async fn take(self) -> Result<Option<Journal>, Error> {
        let database = open().await?;
        let transaction = database.transaction(&[STORE], TransactionMode::ReadWrite)?;
        let store = transaction.object_store(STORE)?;
        let keys = store.get_all_keys(None, None)?.await?;
        let mut keys: Vec<String> = keys.into_iter().filter_map(|key| key.as_string()).collect();
        keys.retain(|key| key.starts_with(&self.prefix()));
        // One's own first.
        keys.sort_by_key(|key| *key != self.key());
        let mut found = None;
        for key in keys {
            let own = key == self.key();
            let id = JsValue::from(key);
            let text = store.get(Query::from(id.clone()))?.await?.and_then(|value| value.as_string());
            let kept = text.and_then(|text| serde_json::from_str::<Kept>(&text).ok());
            let gone = kept.as_ref().is_none_or(|kept| browser::now() - kept.written > ABANDONED);
            if own || gone {
                store.delete(Query::from(id))?.await?;
                if let Some(kept) = kept {
                    found = Some(kept.journal);
                    break;
                }
            }
        }
        transaction.commit()?.await?;
        database.close();
        Ok(found)
    }
}

async fn open() -> Result<Database, Error> {
    let factory = Factory::new()?;
    let mut request = factory.open(DATABASE, Some(1))?;
    request.on_upgrade_needed(|event| {
        // Where the store cannot be made, opening it says so.
        if let Ok(database) = event.database() {
            let _ = database.create_object_store(STORE, ObjectStoreParams::new());
        }
    });
    request.await
}

/// A number for this window, made at random when it is opened.
fn window() -> u32 {
    const KEY: &str = "mudi-window";
    let storage = browser::window().session_storage().ok().flatten();
    let known = storage.as_ref().and_then(|storage| storage.get_item(KEY).ok().flatten());
    if let Some(known) = known.and_then(|known| known.parse().ok()) {
        return known;
    }
    let number = (js_sys::Math::random() * f64::from(u32::MAX)) as u32;
    if let Some(storage) = storage {
        // A window that may not remember its number gets another one next time.
        let _ = storage.set_item(KEY, &number.to_string());
    }
    number
}
