//! The brush's outline, which follows the pointer without anything being drawn anew.

use leptos::html;
use leptos::prelude::*;
use mudi_editor::mask::Tool;

use super::desk::Desk;

/// Puts the outline where the pointer is, and to the brush's size.
pub(super) fn follow(desk: Desk, outline: NodeRef<html::Div>) {
    let Some(element) = outline.get_untracked() else { return };
    let place = desk.look(|editor| {
        let at = editor.view().to_screen(editor.hover()?);
        let tools = editor.tools();
        let size = tools.size().map(|size| f64::from(size) * editor.view().scale);
        Some((at, size, tools.tool))
    });
    let Some(((x, y), size, tool)) = place.flatten() else {
        element.set_class_name("brush hidden");
        return;
    };
    // A brush that is too small to be seen is a cross, as other tools are.
    let round = size.filter(|size| *size >= 6.0);
    let size = round.unwrap_or(20.0);
    element.set_class_name(match (round, tool) {
        (_, Tool::Hand) => "brush hidden",
        (Some(_), _) => "brush",
        (None, _) => "brush cross",
    });
    let half = size / 2.0;
    // One by one: the policy that guards the page lets no whole `style` be set.
    let style = web_sys::HtmlElement::style(&element);
    let place = format!("translate({}px,{}px)", x - half, y - half);
    for (name, value) in
        [("width", format!("{size}px")), ("height", format!("{size}px")), ("transform", place)]
    {
        // An outline in the wrong place is no reason to stop.
        let _ = style.set_property(name, &value);
    }
}
