//! From the browser's events to messages.

use leptos::ev;
use leptos::prelude::*;
use mudi_editor::Phase;
use mudi_editor::mask::{Button, Held, Keys, Message, Pointer, PointerKind, ViewChange, key_message};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, KeyboardEvent, PointerEvent, WheelEvent};

use super::desk::Desk;
use crate::browser;

/// What is held of the keyboard, which pointer events do not tell.
#[derive(Clone, Copy)]
pub(super) struct Space(pub(super) StoredValue<bool>);

/// Sends a pointer's event, with all places between two frames.
pub(super) fn pointer(desk: Desk, space: Space, phase: Phase, event: &PointerEvent) {
    let Some(canvas) = event.current_target().and_then(|target| target.dyn_into::<HtmlElement>().ok()) else {
        return;
    };
    let corner = canvas.get_bounding_client_rect();
    if phase == Phase::Down {
        // Without it a stroke that leaves the canvas would end there.
        let _ = canvas.set_pointer_capture(event.pointer_id());
        // Keys go to the photo now.
        let _ = canvas.focus();
    }
    let send = |event: &PointerEvent| {
        let kind = match event.pointer_type().as_str() {
            "pen" => PointerKind::Pen,
            "touch" => PointerKind::Touch,
            _ => PointerKind::Mouse,
        };
        let button = match event.button() {
            1 => Button::Middle,
            // 5: the rear end of a pen.
            2 | 5 => Button::Secondary,
            _ => Button::Primary,
        };
        let at = (f64::from(event.client_x()) - corner.left(), f64::from(event.client_y()) - corner.top());
        let keys = Keys { shift: event.shift_key(), alt: event.alt_key(), space: space.0.get_value() };
        desk.send(Message::Pointer(Pointer {
            id: event.pointer_id(),
            kind,
            phase,
            at,
            pressure: event.pressure(),
            button,
            keys,
        }));
    };
    let between = if phase == Phase::Move { coalesced(event) } else { Vec::new() };
    if between.is_empty() { send(event) } else { between.iter().for_each(send) }
}

/// The places that the browser has put together to this event. It tells them on secure pages alone.
fn coalesced(event: &PointerEvent) -> Vec<PointerEvent> {
    let known = js_sys::Reflect::has(event, &JsValue::from_str("getCoalescedEvents")).unwrap_or(false);
    if !known {
        return Vec::new();
    }
    event.get_coalesced_events().iter().filter_map(|event| event.dyn_into().ok()).collect()
}

/// Zooms about the pointer.
pub(super) fn wheel(desk: Desk, event: &WheelEvent) {
    event.prevent_default();
    let Some(canvas) = event.current_target().and_then(|target| target.dyn_into::<Element>().ok()) else {
        return;
    };
    let corner = canvas.get_bounding_client_rect();
    let at = (f64::from(event.client_x()) - corner.left(), f64::from(event.client_y()) - corner.top());
    // Lines and pages of a wheel, in pixels.
    let unit = match event.delta_mode() {
        WheelEvent::DOM_DELTA_LINE => 20.0,
        WheelEvent::DOM_DELTA_PAGE => 400.0,
        _ => 1.0,
    };
    let (dx, dy) = (event.delta_x() * unit, event.delta_y() * unit);
    desk.send(Message::View(if event.shift_key() {
        let across = if dx == 0.0 { dy } else { dx };
        ViewChange::Pan(-across, 0.0)
    } else {
        // A pinch on a touchpad comes as small steps with Ctrl; a wheel's are large with it, too.
        let (most, speed) = if event.ctrl_key() { (20.0, 0.01) } else { (400.0, 0.0015) };
        ViewChange::Zoom { at, factor: (-dy.clamp(-most, most) * speed).exp() }
    }));
}

/// What keys do besides what the editor knows.
#[derive(Clone, Copy)]
pub(super) struct Elsewhere {
    /// Opens the sheet of keys.
    pub(super) help: Callback<()>,
    /// Goes to the next photo, or the one before.
    pub(super) turn: Callback<bool>,
}

/// Listens to keys for as long as the page is there.
pub(super) fn keys(desk: Desk, space: Space, elsewhere: Elsewhere, moved: impl Fn() + Copy + 'static) {
    let down = window_event_listener(ev::keydown, move |event| {
        if key_down(desk, space, elsewhere, &event) {
            event.prevent_default();
            moved();
        }
    });
    let up = window_event_listener(ev::keyup, move |event| {
        if event.key() == " " {
            space.0.set_value(false);
        }
    });
    // A key that is let go in another window is not told here.
    let away = window_event_listener(ev::blur, move |_| space.0.set_value(false));
    on_cleanup(move || [down, up, away].into_iter().for_each(WindowListenerHandle::remove));
}

/// A key that an editor may take, and what it is pressed on.
pub(crate) struct Pressed {
    pub(crate) key: String,
    /// With Ctrl, or Command.
    pub(crate) control: bool,
    target: Option<Element>,
}

impl Pressed {
    /// None where the key is meant for the browser, for a dialog or for a field that is written in.
    pub(crate) fn of(event: &KeyboardEvent) -> Option<Self> {
        let key = browser::key(event);
        // On many keyboards brackets are written with Alt or AltGr, which counts as Ctrl and Alt.
        let by_alt = event.alt_key() || event.get_modifier_state("AltGraph");
        let written_by_alt = by_alt && matches!(key.as_str(), "[" | "]" | "{" | "}");
        let control = !written_by_alt && (event.ctrl_key() || event.meta_key());
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let pressed = Self { key, control, target };
        let elsewhere = "dialog, input:not([type=range]):not([type=checkbox]), textarea, select";
        let taken = event.alt_key() && !written_by_alt || pressed.within(elsewhere);
        (!taken).then_some(pressed)
    }

    /// Whether what has the focus is, or lies in, something that `selector` finds.
    pub(crate) fn within(&self, selector: &str) -> bool {
        let found = self.target.as_ref().map(|target| target.closest(selector));
        found.is_some_and(|found| found.is_ok_and(|found| found.is_some()))
    }
}

/// Whether the key meant something here.
fn key_down(desk: Desk, space: Space, elsewhere: Elsewhere, event: &KeyboardEvent) -> bool {
    let Some(pressed) = Pressed::of(event) else { return false };
    let (key, control) = (&pressed.key, pressed.control);
    // Fields and buttons keep the keys that they live by.
    let own = key.starts_with("Arrow") || matches!(key.as_str(), " " | "Enter" | "PageUp" | "PageDown");
    if own && pressed.within("input, button, a, [role=tab]") {
        return false;
    }
    match key.as_str() {
        " " => space.0.set_value(true),
        "?" => elsewhere.help.run(()),
        "PageDown" => elsewhere.turn.run(true),
        "PageUp" => elsewhere.turn.run(false),
        _ => {
            let found = desk.look(|editor| editor.prompt().found.is_some()).unwrap_or_default();
            let held = Held { control, shift: event.shift_key() };
            let Some(message) = key_message(key, held, found) else { return false };
            desk.send(message);
        }
    }
    true
}
