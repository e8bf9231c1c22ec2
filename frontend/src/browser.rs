//! The few things of the browser that pages ask for.

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Uint8Array};
use leptos::prelude::on_cleanup;
use leptos::task::spawn_local;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, HtmlElement, KeyboardEvent, Url, Window};

/// The window.
///
/// # Panics
/// Where there is none, which is never the case in a page.
pub(crate) fn window() -> Window {
    web_sys::window().expect("a page has a window")
}

/// The document.
pub(crate) fn document() -> web_sys::Document {
    window().document().expect("a window of a page has a document")
}

/// Puts the focus on the first element that `selector` finds.
pub(crate) fn focus(selector: &str) {
    if let Ok(Some(found)) = document().query_selector(selector)
        && let Some(element) = found.dyn_ref::<HtmlElement>()
    {
        // An element that refuses the focus leaves it where it is.
        let _ = element.focus();
    }
}

/// The same, once what is being changed is there: until then a dialog that closes would take the focus back.
pub(crate) fn focus_soon(selector: &'static str) {
    spawn_local(async move {
        TimeoutFuture::new(0).await;
        focus(selector);
    });
}

/// The same as soon as nothing has the focus: what had it is being made anew. After two seconds nobody waits for that.
pub(crate) fn focus_when_lost(selector: String) {
    spawn_local(async move {
        for _ in 0..20 {
            TimeoutFuture::new(100).await;
            if document().active_element().is_none_or(|active| active.tag_name() == "BODY") {
                return focus(&selector);
            }
        }
    });
}

/// Whether `element` has the focus, or nothing has.
pub(crate) fn focus_is_free(element: &web_sys::Node) -> bool {
    let active = document().active_element();
    active.is_none_or(|active| active.tag_name() == "BODY" || active.is_same_node(Some(element)))
}

/// What has the focus, unless that is nothing that can be seen.
pub(crate) fn focused() -> Option<HtmlElement> {
    let active = document().active_element()?.dyn_into::<HtmlElement>().ok()?;
    (active.tag_name() != "BODY" && active.offset_parent().is_some()).then_some(active)
}

/// Which key was pressed. Where letters are others, as in Cyrillic, its place tells which one it would be in Latin ones.
pub(crate) fn key(event: &KeyboardEvent) -> String {
    let key = event.key();
    match event.code().strip_prefix("Key") {
        Some(letter) if !key.is_ascii() => letter.to_lowercase(),
        _ => key,
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    js_sys::Date::now() as i64
}

/// A moment in the words of the reader's country.
pub(crate) fn date(time: i64) -> String {
    let date = js_sys::Date::new(&(time as f64).into());
    date.to_locale_string("default", &js_sys::Object::new()).into()
}

/// What the browser remembers under `key`. Nothing where it may not remember.
pub(crate) fn remembered(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Has the browser remember `value`; one that may not does without.
pub(crate) fn remember(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(key, value);
    }
}

/// Has the browser forget what it remembers under `key`.
pub(crate) fn forget(key: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.remove_item(key);
    }
}

/// What this tab remembers under `key`, for as long as it is open.
pub(crate) fn tab_remembered(key: &str) -> Option<String> {
    window().session_storage().ok()??.get_item(key).ok()?
}

/// Has this tab remember `value`; one that may not does without.
pub(crate) fn tab_remembers(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().session_storage() {
        let _ = storage.set_item(key, value);
    }
}

/// What this tab remembers under `key`, which it forgets.
pub(crate) fn tab_takes(key: &str) -> Option<String> {
    let known = tab_remembered(key)?;
    if let Ok(Some(storage)) = window().session_storage() {
        let _ = storage.remove_item(key);
    }
    Some(known)
}

/// Milliseconds since the page began, in fractions.
pub(crate) fn ticks() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

/// Calls `changed` at events of the document for as long as the page is open.
pub(crate) fn on_event(name: &'static str, changed: impl Fn() + 'static) {
    let changed = Closure::<dyn Fn()>::new(changed);
    let listener: &js_sys::Function = changed.as_ref().unchecked_ref();
    // A page that does not hear of it goes on as before.
    let _ = document().add_event_listener_with_callback(name, listener);
    let changed = send_wrapper::SendWrapper::new(changed);
    on_cleanup(move || {
        let listener: &js_sys::Function = changed.as_ref().unchecked_ref();
        let _ = document().remove_event_listener_with_callback(name, listener);
    });
}

/// Has the browser save a picture as a file of that name.
///
/// # Errors
/// Where the browser does not.
pub(crate) fn save_png(bytes: &[u8], name: &str) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type("image/png");
    let parts = Array::of1(&Uint8Array::from(bytes));
    let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &options)?;
    let address = Url::create_object_url_with_blob(&blob)?;
    let anchor: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    anchor.set_href(&address);
    anchor.set_download(name);
    anchor.click();
    Url::revoke_object_url(&address)
}

/// Bytes of memory that this program holds. It never gives any back.
pub(crate) fn program_memory() -> u64 {
    const PAGE: u64 = 64 << 10;
    core::arch::wasm32::memory_size::<0>() as u64 * PAGE
}
