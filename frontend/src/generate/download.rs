//! Saving a picture on the own disk, with or without what it was made with.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use crate::api::{self, Answer, ApiError};
use crate::browser;
use crate::png;

/// Saves the picture at `path` under `name`, without its metadata.
pub(super) async fn save_bare(path: &str, name: &str) -> Answer<()> {
    let file = api::bytes(path).await?;
    let bare = png::without_metadata(&file).ok_or_else(|| ApiError::Unreadable("it is no PNG".to_owned()))?;
    offer(&bare, name).map_err(|_| ApiError::Unreadable("the browser does not save it".to_owned()))
}

/// Has the browser save `bytes`.
fn offer(bytes: &[u8], name: &str) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type("image/png");
    let parts = Array::of1(&Uint8Array::from(bytes));
    let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &options)?;
    let address = Url::create_object_url_with_blob(&blob)?;
    let anchor: HtmlAnchorElement = browser::document().create_element("a")?.unchecked_into();
    anchor.set_href(&address);
    anchor.set_download(name);
    anchor.click();
    Url::revoke_object_url(&address)
}
