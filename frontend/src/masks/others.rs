//! The mask of somebody else, or of another window: read, taken over, or a choice.

use image::GrayImage;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::Photo;
use mudi_editor::mask::{Choice, Message, SaveState};

use super::desk::Desk;
use super::ending::End;
use super::files::decode_mask;
use crate::api::{self, Answer, ApiError};

/// What somebody else has made of the mask.
#[derive(Clone)]
pub(super) struct Other {
    pub(super) mask: GrayImage,
    pub(super) tag: Option<String>,
}

/// Where the API of the photo is whose mask's is at `path`.
fn photo(path: &str) -> &str {
    path.trim_end_matches("/mask")
}

/// The mask that the server has; an empty one where it has the photo but no mask of it.
pub(super) async fn read_mask(path: &str, (width, height): (u32, u32)) -> Answer<Other> {
    match api::read_image(path).await {
        Ok(file) => {
            let mask = decode_mask(&file.value).await?;
            if mask.dimensions() == (width, height) {
                Ok(Other { mask, tag: file.tag })
            } else {
                Err(ApiError::Unreadable("a mask of another size than its photo".to_owned()))
            }
        }
        Err(error) if error.code() == "missing" => {
            api::bytes(photo(path)).await?;
            Ok(Other { mask: GrayImage::new(width, height), tag: None })
        }
        Err(error) => Err(error),
    }
}

/// Reads the mask of somebody else, for the choice that is open. One that is no other needs none.
pub(super) async fn fetch_other(desk: Desk, path: &str) {
    let Some(size) = desk.look(|editor| editor.mask().dimensions()) else { return };
    // What work began with may be there again, or still.
    let same = |other: &Other| desk.look(|editor| editor.tag() == other.tag.as_deref()) == Some(true);
    match read_mask(path, size).await {
        Ok(other) if same(&other) || desk.keeper.knows(desk, &other.mask) => {
            resolve(desk, Choice::Mine, other);
        }
        Ok(other) => drop(desk.keeper.other.try_set(Some(other))),
        Err(error) => desk.keeper.failed(desk, &error),
    }
}

/// Looks whether somebody else has changed the mask: what is saved here is replaced by theirs, what is not needs a choice.
pub(super) fn look_around(desk: Desk, path: String) {
    let Some((size, tag)) = desk.look(|editor| (editor.mask().dimensions(), editor.tag().map(str::to_owned)))
    else {
        return;
    };
    spawn_local(async move {
        // A whole mask is read only where there is another one.
        if api::get::<Photo>(photo(&path)).await.is_ok_and(|photo| photo.mask == tag) {
            return;
        }
        let other = match read_mask(&path, size).await {
            Ok(other) => other,
            Err(error) if End::of(&error).is_some() => return desk.keeper.failed(desk, &error),
            // The next save will find out as well.
            Err(_) => return,
        };
        // The page may be gone.
        if other.tag == tag || desk.keeper.other.try_with_untracked(Option::is_some) != Some(false) {
            return;
        }
        let now = desk
            .look(|editor| (editor.save_state().clone(), editor.tag().map(str::to_owned), editor.is_busy()));
        let ours = desk.keeper.knows(desk, &other.mask);
        match now {
            // Meanwhile it was saved here.
            Some((_, known, _)) if known != tag => {}
            Some((SaveState::Saved, _, false)) => resolve(desk, Choice::Theirs, other),
            Some((SaveState::Unsaved | SaveState::Failed(_), _, false)) if ours => {
                resolve(desk, Choice::Mine, other);
            }
            Some((SaveState::Unsaved | SaveState::Failed(_), ..)) if !ours => {
                desk.send(Message::Conflict);
                desk.keeper.other.try_set(Some(other));
            }
            _ => {}
        }
    });
}

/// Ends a conflict.
pub(super) fn resolve(desk: Desk, choice: Choice, other: Other) {
    desk.keeper.other.try_set(None);
    desk.send(Message::Resolve(choice, other.mask, other.tag));
    desk.keeper.touched();
    desk.show();
}
