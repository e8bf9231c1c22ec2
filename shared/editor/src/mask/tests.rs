//! Laws that hold for whatever is done in whatever order.

use image::{GrayImage, Luma, Rgb, RgbImage};
use mudi_domain::geometry::Rect;
use proptest::prelude::*;

use super::*;
use crate::Phase;

const SIZE: (u32, u32) = (300, 200);

fn blank() -> MaskEditor {
    // A window in which one pixel of the photo is one of the screen.
    let mut editor = MaskEditor::new(GrayImage::new(SIZE.0, SIZE.1), None, (332.0, 232.0));
    editor.update(Message::View(ViewChange::Actual));
    editor
}

fn pointer(phase: Phase, x: f64, y: f64) -> Pointer {
    Pointer {
        id: 1,
        kind: PointerKind::Mouse,
        phase,
        at: (x, y),
        pressure: 0.5,
        button: Button::Primary,
        keys: Keys::default(),
    }
}

/// A line with the tool in hand, between places in pixels of the photo.
fn drag(editor: &mut MaskEditor, places: &[(f64, f64)], change: impl Fn(Pointer) -> Pointer) -> Effects {
    let mut effects = Effects::default();
    let screen: Vec<_> = places.iter().map(|&place| editor.view().to_screen(place)).collect();
    let (first, last) = (screen[0], screen[screen.len() - 1]);
    effects.merge(editor.update(Message::Pointer(change(pointer(Phase::Down, first.0, first.1)))));
    for &(x, y) in &screen[1..] {
        effects.merge(editor.update(Message::Pointer(change(pointer(Phase::Move, x, y)))));
    }
    effects.merge(editor.update(Message::Pointer(change(pointer(Phase::Up, last.0, last.1)))));
    effects
}

fn photo() -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([(x / 60 * 50) as u8, (y / 60 * 60) as u8, 9]))
}

/// Something a person may do.
#[derive(Debug, Clone)]
enum Deed {
    Drag(Tool, Vec<(f64, f64)>, bool),
    Edit(Edit, u32),
    Propose(u8, Combine),
    Undo,
    Redo,
}

fn deeds(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    let place = (-20.0..320.0f64, -20.0..220.0f64);
    let places = proptest::collection::vec(place, 1..6);
    let tool = prop_oneof![Just(Tool::Brush), Just(Tool::Eraser), Just(Tool::Lasso), Just(Tool::Wand)];
    let edit = prop_oneof![
        Just(Edit::Grow),
        Just(Edit::Shrink),
        Just(Edit::Feather),
        Just(Edit::Invert),
        Just(Edit::Clear),
        Just(Edit::Fill)
    ];
    let how = prop_oneof![Just(Combine::Replace), Just(Combine::Add), Just(Combine::Remove)];
    let deed = prop_oneof![
        6 => (tool, places, any::<bool>()).prop_map(|(tool, places, alt)| Deed::Drag(tool, places, alt)),
        2 => (edit, 1u32..9).prop_map(|(edit, radius)| Deed::Edit(edit, radius)),
        1 => (any::<u8>(), how).prop_map(|(seed, how)| Deed::Propose(seed, how)),
        2 => Just(Deed::Undo),
        1 => Just(Deed::Redo),
    ];
    proptest::collection::vec(deed, 1..most)
}

fn act(editor: &mut MaskEditor, deed: &Deed) -> Effects {
    match deed {
        Deed::Drag(tool, places, alt) => {
            editor.update(Message::Tool(*tool));
            let keys = Keys { alt: *alt, ..Keys::default() };
            drag(editor, places, |pointer| Pointer { keys, ..pointer })
        }
        Deed::Edit(edit, radius) => {
            editor.update(Message::Setting(ToolChange::Radius(*radius)));
            editor.update(Message::Edit(*edit))
        }
        Deed::Propose(seed, how) => {
            let side = u32::from(*seed);
            let found =
                GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([if x + y < side { *seed } else { 0 }]));
            editor.update(Message::Propose(found));
            editor.update(Message::Accept(*how))
        }
        Deed::Undo => editor.update(Message::Undo),
        Deed::Redo => editor.update(Message::Redo),
    }
}

/// The smallest rectangle around what differs.
fn difference(a: &GrayImage, b: &GrayImage) -> Option<Rect> {
    let pixels = a.enumerate_pixels().zip(b.pixels());
    pixels
        .filter(|((_, _, a), b)| a != b)
        .map(|((x, y, _), _)| Rect::new(x as i32, y as i32, 1, 1))
        .reduce(|a, b| a.union(&b))
}

fn with_colours() -> MaskEditor {
    let mut editor = blank();
    editor.update(Message::Colours(photo()));
    editor
}

#[test]
fn what_was_undone_before_a_save_and_done_again_during_it_is_in_the_journal() {
    let mut editor = with_colours();
    let stroke = Deed::Drag(Tool::Brush, vec![(40.0, 40.0)], false);
    act(&mut editor, &stroke);
    act(&mut editor, &Deed::Drag(Tool::Brush, vec![(90.0, 90.0)], false));
    act(&mut editor, &Deed::Undo);
    let upload = editor.begin_save().expect("something to save");
    act(&mut editor, &Deed::Redo);
    editor.update(Message::Saved(Some("v1".to_owned())));
    let journal = editor.journal().expect("what was done again is not saved");
    assert_eq!(&journal.applied(&upload.mask), editor.mask());
    // And back, and again.
    act(&mut editor, &Deed::Undo);
    assert_eq!(editor.mask(), &upload.mask);
    assert!(editor.journal().is_none_or(|journal| journal.applied(&upload.mask) == upload.mask));
    act(&mut editor, &Deed::Redo);
    assert_eq!(editor.journal().map(|journal| journal.applied(&upload.mask)).as_ref(), Some(editor.mask()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn undo_and_redo_bring_back_the_same_bytes(deeds in deeds(24)) {
        let mut editor = with_colours();
        let mut states = vec![editor.mask().clone()];
        for deed in deeds.iter().filter(|deed| !matches!(deed, Deed::Undo | Deed::Redo)) {
            let depth = editor.history().depth();
            act(&mut editor, deed);
            if editor.history().depth() > depth {
                states.push(editor.mask().clone());
            } else {
                prop_assert_eq!(editor.mask(), states.last().unwrap(), "what is not undone has changed nothing");
            }
        }
        prop_assert_eq!(editor.history().depth(), states.len() - 1);
        for state in states.iter().rev().skip(1) {
            editor.update(Message::Undo);
            prop_assert_eq!(editor.mask(), state);
        }
        prop_assert_eq!(editor.history().next_undo(), None);
        for state in &states[1..] {
            editor.update(Message::Redo);
            prop_assert_eq!(editor.mask(), state);
        }
        prop_assert_eq!(editor.history().next_redo(), None);
    }

    #[test]
    fn every_pixel_that_changes_is_reported_and_reductions_follow(deeds in deeds(16)) {
        let mut editor = with_colours();
        for deed in &deeds {
            let before = editor.mask().clone();
            let effects = act(&mut editor, deed);
            if let Some(changed) = difference(&before, editor.mask()) {
                let dirty = effects.dirty.expect("something is dirty");
                prop_assert_eq!(dirty.union(&changed), dirty, "{:?} changes {:?}", deed, changed);
            }
        }
        prop_assert_eq!(&editor.pyramid, &Pyramid::of(editor.mask()));
    }

    #[test]
    fn the_journal_brings_back_what_was_not_saved(
        before in deeds(12), after in deeds(12), meanwhile in deeds(4), saves: bool
    ) {
        let mut editor = with_colours();
        let mut base = editor.mask().clone();
        for deed in &before {
            act(&mut editor, deed);
        }
        if saves && let Some(upload) = editor.begin_save() {
            for deed in &meanwhile {
                act(&mut editor, deed);
            }
            base = upload.mask;
            editor.update(Message::Saved(Some("v1".to_owned())));
            prop_assert_eq!(*editor.save_state() == SaveState::Saved, editor.journal().is_none());
        }
        for deed in &after {
            act(&mut editor, deed);
        }
        let Some(journal) = editor.journal() else {
            prop_assert_eq!(editor.mask(), &base);
            return Ok(());
        };
        let text = serde_json::to_string(&journal).unwrap();
        let journal: Journal = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(journal.check(SIZE), Ok(()));
        prop_assert_eq!(&journal.applied(&base), editor.mask());
        let mut fresh = MaskEditor::new(base, journal.base().map(str::to_owned), (332.0, 232.0));
        fresh.update(Message::Recover(Box::new(journal.clone())));
        prop_assert_eq!(fresh.mask(), editor.mask());
        // And once more: a page that is reloaded twice.
        let again = fresh.journal().map(|journal| journal.applied(&first_state(&fresh)));
        prop_assert_eq!(again.as_ref().unwrap_or(editor.mask()), editor.mask());
    }

    #[test]
    fn brushes_change_nothing_where_nothing_is_left_to_do(
        places in proptest::collection::vec((-20.0..320.0f64, -20.0..220.0f64), 1..8), hardness in 0.0..1.0f32,
        size in 1.0..90.0f32,
    ) {
        let mut editor = blank();
        editor.update(Message::Setting(ToolChange::Size(size)));
        editor.update(Message::Setting(ToolChange::Hardness(hardness)));
        drag(&mut editor, &places, |pointer| pointer);
        let once = editor.mask().clone();
        drag(&mut editor, &places, |pointer| pointer);
        prop_assert_eq!(editor.mask(), &once, "twice is once");
        prop_assert!(editor.history().depth() <= 1);
        editor.update(Message::Edit(Edit::Fill));
        drag(&mut editor, &places, |pointer| pointer);
        prop_assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 255));
        prop_assert_eq!(editor.history().next_undo(), Some("Fill"));
    }

    #[test]
    fn a_journal_from_anywhere_is_refused_or_harmless(text in ".{0,60}", edits in proptest::collection::vec(any::<(u16, u8)>(), 0..6)) {
        prop_assert!(serde_json::from_str::<Journal>(&text).is_err());
        let mut editor = blank();
        editor.update(Message::Propose(GrayImage::from_pixel(SIZE.0, SIZE.1, Luma([200]))));
        editor.update(Message::Accept(Combine::Replace));
        drag(&mut editor, &[(5.0, 5.0), (90.0, 60.0)], |pointer| pointer);
        let mut bytes = serde_json::to_vec(&editor.journal()).unwrap();
        for (place, byte) in edits {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        if let Ok(journal) = serde_json::from_slice::<Journal>(&bytes) && journal.check(SIZE).is_ok() {
            let mut fresh = blank();
            fresh.update(Message::Recover(Box::new(journal)));
        }
    }
}

/// The mask with which a page began.
fn first_state(editor: &MaskEditor) -> GrayImage {
    let mut undone = editor.clone();
    while undone.history().depth() > 0 {
        undone.update(Message::Undo);
    }
    undone.mask().clone()
}

mod deeds;
mod interrupted;
mod removal;
