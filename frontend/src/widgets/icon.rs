//! Drawn signs, all of one kind: lines of two units on a field of 24.

use leptos::prelude::*;

/// What a sign stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Overview,
    Photos,
    Layouts,
    Train,
    Generate,
    Share,
    Plus,
    Trash,
    Copy,
    Camera,
    Upload,
    Download,
    Brush,
    Close,
    Sun,
    Moon,
    Half,
    Play,
    Pause,
    Stop,
    Lock,
    Unlock,
    Compare,
    Reuse,
    Pencil,
    Dice,
}

impl Sign {
    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "M4 5h7v6H4zM13 5h7v14h-7zM4 13h7v6H4z",
            Self::Photos => "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
            Self::Layouts => "M4 4h16v16H4zM7 13a3 3 0 1 0 6 0 3 3 0 1 0-6 0M13 7h4v5h-4z",
            Self::Train => "M4 4v16h16M7 9c2 6 5 7 13 7.5",
            Self::Generate => "M12 3l2 6 6 2-6 2-2 6-2-6-6-2 6-2zM19 16l.8 2.2L22 19l-2.2.8L19 22",
            Self::Share => {
                "M7 12a2.5 2.5 0 1 1-.01 0zM17 6a2.5 2.5 0 1 1-.01 0zM17 18a2.5 2.5 0 1 1-.01 0zM9.5 13l5-3M9.5 15.5l5 3"
            }
            Self::Plus => "M12 5v14M5 12h14",
            Self::Trash => "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
            Self::Copy => "M9 9h11v11H9zM5 15H4V4h11v1",
            Self::Camera => "M4 8h4l1.5-3h5L16 8h4v11H4zM12 17a3.5 3.5 0 1 1 .01 0z",
            Self::Upload => "M12 16V5M7 9l5-5 5 5M4 16v4h16v-4",
            Self::Download => "M12 4v11M7 11l5 5 5-5M4 16v4h16v-4",
            Self::Brush => "M14 4l6 6-8 7-5-5zM7 12c-3 1-3 4-4 8 4 0 8-1 9-3",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Sun => {
                "M12 16a4 4 0 1 1 .01 0zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6l1.5 1.5M16.9 16.9l1.5 1.5M18.4 5.6l-1.5 1.5M7.1 16.9l-1.5 1.5"
            }
            Self::Moon => "M20 14.5A8.5 8.5 0 1 1 9.5 4 7 7 0 0 0 20 14.5z",
            Self::Half => "M12 4a8 8 0 1 1-.01 0zM12 4v16M12 8h6M12 12h8M12 16h6",
            Self::Play => "M8 5l11 7-11 7z",
            Self::Pause => "M9 5v14M15 5v14",
            Self::Stop => "M6 6h12v12H6z",
            Self::Lock => "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
            Self::Unlock => "M6 11h12v9H6zM8.5 11V7a3.5 3.5 0 0 1 6.8-1",
            Self::Compare => "M4 5h16v14H4zM12 3v18M9 10l-2 2 2 2M15 10l2 2-2 2",
            Self::Reuse => "M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5",
            Self::Pencil => "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
            Self::Dice => "M5 5h14v14H5zM9 9h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01",
        }
    }
}

/// A sign. It says nothing to readers of the screen: the words beside it do.
#[component]
pub(crate) fn Icon(
    /// Which one.
    sign: Sign,
) -> impl IntoView {
    view! {
        <svg class="sign" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=sign.path() fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />
        </svg>
    }
}
