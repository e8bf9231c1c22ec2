//! The pictures of the project that are known so far: the newest, and older ones as far as somebody has asked for them.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Image, JobEvent, Page};
use uuid::Uuid;

use crate::api::{self, ApiError, Loaded};
use crate::frame::{TheProject, the_project};

/// The newest ones, as many as are asked for at once.
const NEWEST: &str = "images?newest=true&limit=60";
/// How long what happens is gathered before the server is asked, in milliseconds: of a job that is looked at anew all is told at once.
const GATHERING: u32 = 300;

/// The list, newest first.
#[derive(Clone, Copy)]
pub(super) struct Pictures {
    the: TheProject,
    /// The newest ones; asked for again where there may be others.
    newest: Loaded<Page<Image>>,
    list: RwSignal<Vec<Image>>,
    /// Whether there are older ones.
    older: RwSignal<bool>,
    /// What is to be asked for: single pictures, and whether the newest ones.
    wanted: StoredValue<(Vec<Uuid>, bool)>,
}

impl Pictures {
    /// Asks for the newest ones.
    pub(super) fn new() -> Self {
        let the = the_project();
        let newest = Loaded::new(move || {
            let path = the.path(NEWEST);
            async move { api::get::<Page<Image>>(&path).await }
        });
        let pictures = Self {
            the,
            newest,
            list: RwSignal::new(Vec::new()),
            older: RwSignal::new(false),
            wanted: StoredValue::default(),
        };
        Effect::new(move |_| {
            if let Some(page) = newest.value() {
                pictures.take(page);
            }
        });
        pictures
    }

    /// All that are known.
    pub(super) fn all(self) -> Vec<Image> {
        self.list.get()
    }

    /// Whether there are none in the project.
    pub(super) fn none(self) -> bool {
        self.newest.value().is_some() && self.list.with(Vec::is_empty)
    }

    /// Why nothing is known.
    pub(super) fn fault(self) -> Option<ApiError> {
        self.newest.answer()?.err()
    }

    /// Asks for the newest again.
    pub(super) fn reload(self) {
        self.newest.reload();
    }

    /// Whether there are older ones than those that are known.
    pub(super) fn has_more(self) -> bool {
        self.older.get()
    }

    /// Asks for the next older ones.
    ///
    /// # Errors
    /// Why they did not come.
    pub(super) async fn more(self) -> Result<(), ApiError> {
        let after = self.list.with_untracked(|list| list.last().map(|last| format!("&after={}", last.id)));
        let path = format!("{NEWEST}{}", after.unwrap_or_default());
        let page: Page<Image> = api::get(&self.the.path_now(&path)).await?;
        self.older.try_set(page.next.is_some());
        self.list.try_update(|list| {
            let new = page.items.into_iter().filter(|image| !list.iter().any(|known| known.id == image.id));
            let new: Vec<Image> = new.collect();
            list.extend(new);
        });
        Ok(())
    }

    /// Heeds what happens to a job: what it names is asked for, a moment later.
    pub(super) fn hear(self, event: &JobEvent) {
        let known = |id: Uuid| {
            let found = |list: &Vec<Image>| {
                list.iter().find(|image| image.id == id).map(|image| image.score.is_some())
            };
            self.list.try_with_untracked(found).flatten()
        };
        match event {
            JobEvent::Image { image } if known(*image).is_none() => self.ask(None),
            JobEvent::Score { image } if known(*image) == Some(false) => self.ask(Some(*image)),
            JobEvent::State { state, .. } if state.is_over() => self.ask(None),
            _ => {}
        }
    }

    /// Shows these no more, and looks soon whether the server has them still. Whether the page is still there.
    pub(super) fn changed(self, ids: &[Uuid]) -> bool {
        if self.list.try_with_untracked(|_| ()).is_none() {
            return false;
        }
        self.list.update(|list| list.retain(|image| !ids.contains(&image.id)));
        let newest = self.newest.value_now().map(|page| page.items).unwrap_or_default();
        self.ask(None);
        for id in ids.iter().filter(|id| !newest.iter().any(|image| image.id == **id)) {
            self.ask(Some(*id));
        }
        true
    }

    /// Looks soon what has become of a picture, or which are the newest.
    fn ask(self, image: Option<Uuid>) {
        let first = self.wanted.try_update_value(|(images, newest)| {
            let first = images.is_empty() && !*newest;
            match image {
                Some(id) if images.contains(&id) => {}
                Some(id) => images.push(id),
                None => *newest = true,
            }
            first
        });
        if first == Some(true) {
            spawn_local(async move {
                TimeoutFuture::new(GATHERING).await;
                let (images, newest) = self.wanted.try_update_value(std::mem::take).unwrap_or_default();
                if newest
                    && self.list.try_with_untracked(|_| ()).is_some()
                    && let Ok(page) = api::get(&self.the.path_now(NEWEST)).await
                {
                    self.newest.set(page);
                }
                for id in images {
                    self.look(id).await;
                }
            });
        }
    }

    async fn look(self, id: Uuid) {
        // Nobody looks any more.
        if self.list.try_with_untracked(|_| ()).is_none() {
            return;
        }
        let found: Result<Image, ApiError> = api::get(&self.the.path_now(&format!("images/{id}"))).await;
        self.list.try_update(|list| match found {
            Ok(image) => {
                // Ids sort by age.
                let place = list.partition_point(|known| known.id > id);
                match list.get_mut(place).filter(|known| known.id == id) {
                    Some(known) => *known = image,
                    None => list.insert(place, image),
                }
            }
            Err(error) if error.is_final() => list.retain(|known| known.id != id),
            Err(_) => {}
        });
    }

    /// Puts the newest ones before the older ones that are known.
    fn take(self, page: Page<Image>) {
        let last = page.items.last().map(|image| image.id);
        let Some(last) = last.filter(|_| page.next.is_some()) else {
            // These are all.
            self.older.set(false);
            return self.list.set(page.items);
        };
        // Where nothing of them is known there may be others between.
        let known = self.list.with_untracked(|list| list.first().is_some_and(|first| first.id >= last));
        if !known {
            self.older.set(true);
        }
        self.list.update(|list| {
            // Of the newest those that did not come are deleted.
            list.retain(|image| known && image.id < last);
            list.splice(..0, page.items);
        });
    }
}
