//! Drawn signs, all of one kind: lines of two units on a field of 24.

use leptos::prelude::*;

/// A sign, by its path. Each is a constant of its own, so that a program holds those alone that it shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sign(&'static str);

#[expect(non_upper_case_globals, reason = "they stand for themselves, as the variants of an enum do")]
impl Sign {
    pub(crate) const Overview: Self = Self("M4 5h7v6H4zM13 5h7v14h-7zM4 13h7v6H4z");
    pub(crate) const Photos: Self = Self("M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01");
    pub(crate) const Layouts: Self = Self("M4 4h16v16H4zM7 13a3 3 0 1 0 6 0 3 3 0 1 0-6 0M13 7h4v5h-4z");
    pub(crate) const Train: Self = Self("M4 4v16h16M7 9c2 6 5 7 13 7.5");
    pub(crate) const Generate: Self =
        Self("M12 3l2 6 6 2-6 2-2 6-2-6-6-2 6-2zM19 16l.8 2.2L22 19l-2.2.8L19 22");
    pub(crate) const Share: Self = Self(
        "M7 12a2.5 2.5 0 1 1-.01 0zM17 6a2.5 2.5 0 1 1-.01 0zM17 18a2.5 2.5 0 1 1-.01 0zM9.5 13l5-3M9.5 15.5l5 3",
    );
    pub(crate) const Plus: Self = Self("M12 5v14M5 12h14");
    pub(crate) const Trash: Self = Self("M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5");
    pub(crate) const Copy: Self = Self("M9 9h11v11H9zM5 15H4V4h11v1");
    pub(crate) const Camera: Self = Self("M4 8h4l1.5-3h5L16 8h4v11H4zM12 17a3.5 3.5 0 1 1 .01 0z");
    pub(crate) const Upload: Self = Self("M12 16V5M7 9l5-5 5 5M4 16v4h16v-4");
    pub(crate) const Download: Self = Self("M12 4v11M7 11l5 5 5-5M4 16v4h16v-4");
    pub(crate) const Brush: Self = Self("M14 4l6 6-8 7-5-5zM7 12c-3 1-3 4-4 8 4 0 8-1 9-3");
    pub(crate) const Close: Self = Self("M6 6l12 12M18 6L6 18");
    pub(crate) const Sun: Self = Self(
        "M12 16a4 4 0 1 1 .01 0zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6l1.5 1.5M16.9 16.9l1.5 1.5M18.4 5.6l-1.5 1.5M7.1 16.9l-1.5 1.5",
    );
    pub(crate) const Moon: Self = Self("M20 14.5A8.5 8.5 0 1 1 9.5 4 7 7 0 0 0 20 14.5z");
    pub(crate) const Half: Self = Self("M12 4a8 8 0 1 1-.01 0zM12 4v16M12 8h6M12 12h8M12 16h6");
    pub(crate) const Play: Self = Self("M8 5l11 7-11 7z");
    pub(crate) const Pause: Self = Self("M9 5v14M15 5v14");
    pub(crate) const Stop: Self = Self("M6 6h12v12H6z");
    pub(crate) const Lock: Self = Self("M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3");
    pub(crate) const Unlock: Self = Self("M6 11h12v9H6zM8.5 11V7a3.5 3.5 0 0 1 6.8-1");
    pub(crate) const Compare: Self = Self("M4 5h16v14H4zM12 3v18M9 10l-2 2 2 2M15 10l2 2-2 2");
    pub(crate) const Reuse: Self =
        Self("M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5");
    pub(crate) const Pencil: Self = Self("M4 20l1-4L16 5l3 3L8 19zM14 7l3 3");
    pub(crate) const Dice: Self = Self("M5 5h14v14H5zM9 9h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01");
    pub(crate) const Eraser: Self = Self("M8 19h12M4.5 14.5l8-9 6.5 5.8-7 7.7H8zM8.5 10l6.5 6");
    pub(crate) const Lasso: Self =
        Self("M12 4c5 0 8 2.5 8 6s-3.5 6-8 6-8-2.5-8-6 3-6 8-6M8 15.5c-1.5 1 -1.5 3 0 3.5 1.5.5 2 1.5 1 2.5");
    pub(crate) const Wand: Self = Self("M4 20L15 9M13 7l4 4M18 3v4M16 5h4M20 13v2M19 14h2M8 4v2M7 5h2");
    pub(crate) const Frame: Self = Self("M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M11 12h2M12 11v2");
    pub(crate) const Point: Self = Self("M5 4l6 16 2.5-6.5L20 11z");
    pub(crate) const Mark: Self = Self("M4 19c4-1 3-7 7-7s3 5 6 4M16 4l4 4-5 5-4-4zM4 6h5M6.5 3.5v5");
    pub(crate) const Hand: Self = Self(
        "M8 12V6a1.5 1.5 0 0 1 3 0v5M11 11V4.5a1.5 1.5 0 0 1 3 0V11M14 11V6a1.5 1.5 0 0 1 3 0v8c0 4-2 6-5 6-4 0-5-2-7-6-.8-1.6 1.2-2.8 2.3-1.3L8 14.5",
    );
    pub(crate) const Undo: Self = Self("M4 9h10a5.5 5.5 0 0 1 0 11H8M8 5L4 9l4 4");
    pub(crate) const Redo: Self = Self("M20 9H10a5.5 5.5 0 0 0 0 11h6M16 5l4 4-4 4");
    pub(crate) const Minus: Self = Self("M5 12h14");
    pub(crate) const Previous: Self = Self("M15 5l-7 7 7 7");
    pub(crate) const Next: Self = Self("M9 5l7 7-7 7");
    pub(crate) const Help: Self = Self("M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 18h.01");
    pub(crate) const More: Self =
        Self("M5 11a1 1 0 1 0 .01 0zM12 11a1 1 0 1 0 .01 0zM19 11a1 1 0 1 0 .01 0z");
    pub(crate) const Sliders: Self = Self("M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4");
    pub(crate) const Mirror: Self = Self("M12 4v16M9 7v10H3zM15 7v10h6z");
    pub(crate) const Forward: Self = Self("M4 4h11v11H4zM19 9v10H9");
    pub(crate) const Backward: Self = Self("M9 9h11v11H9M5 15V4h10");
    pub(crate) const Front: Self = Self("M12 19V6M6 11l6-6 6 6M5 21h14");
    pub(crate) const Back: Self = Self("M12 5v13M6 13l6 6 6-6M5 3h14");
    pub(crate) const Left: Self = Self("M4 4v16M8 7h12v4H8zM8 14h7v4H8z");
    pub(crate) const Center: Self = Self("M12 3v18M5 7h14v4H5zM8 14h8v4H8z");
    pub(crate) const Right: Self = Self("M20 4v16M4 7h12v4H4zM9 14h7v4H9z");
    pub(crate) const Top: Self = Self("M4 4h16M7 8h4v12H7zM14 8h4v7h-4z");
    pub(crate) const Middle: Self = Self("M3 12h18M7 5h4v14H7zM14 8h4v8h-4z");
    pub(crate) const Bottom: Self = Self("M4 20h16M7 4h4v12H7zM14 9h4v7h-4z");
    pub(crate) const Across: Self = Self("M4 4v16M20 4v16M10 8h4v8h-4z");
    pub(crate) const Down: Self = Self("M4 4h16M4 20h16M8 10v4h8v-4z");
}

/// A sign. It says nothing to readers of the screen: the words beside it do.
#[component]
pub(crate) fn Icon(
    /// Which one.
    sign: Sign,
) -> impl IntoView {
    view! {
        <svg class="sign" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=sign.0 fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />
        </svg>
    }
}
