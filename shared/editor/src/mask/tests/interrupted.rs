//! Pens, whose lines change their width, and lines that something else interrupts.

use super::*;

/// A line of a pen, pressed as hard as the last number of each place says, that is not lifted.
fn hold(editor: &mut MaskEditor, places: &[(f64, f64, f32)]) -> Effects {
    let mut effects = Effects::default();
    for (step, &(x, y, pressure)) in places.iter().enumerate() {
        let phase = if step == 0 { Phase::Down } else { Phase::Move };
        let (x, y) = editor.view().to_screen((x, y));
        let pen = Pointer { kind: PointerKind::Pen, pressure, ..pointer(phase, x, y) };
        effects.merge(editor.update(Message::Pointer(pen)));
    }
    effects
}

fn lift(editor: &mut MaskEditor, (x, y): (f64, f64)) {
    let (x, y) = editor.view().to_screen((x, y));
    let pen = Pointer { kind: PointerKind::Pen, pressure: 0.0, ..pointer(Phase::Up, x, y) };
    editor.update(Message::Pointer(pen));
}

fn line() -> impl Strategy<Value = Vec<(f64, f64, f32)>> {
    proptest::collection::vec((-20.0..320.0f64, -20.0..220.0f64, 0.0..1.0f32), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_place_of_a_pen_is_a_whole_disc(places in line(), size in 4.0..90.0f32) {
        let mut editor = blank();
        editor.update(Message::Setting(ToolChange::Size(size)));
        editor.update(Message::Setting(ToolChange::Hardness(1.0)));
        hold(&mut editor, &places);
        let Some(Operation::Stroke { dabs, .. }) = editor.gesture.stroke() else { panic!("no stroke") };
        for (x, y, pixel) in editor.mask().enumerate_pixels() {
            let apart = |dab: &Dab| (x as f32 + 0.5 - dab[0]).hypot(y as f32 + 0.5 - dab[1]) - dab[2];
            if dabs.iter().any(|dab| apart(dab) < -0.6) {
                prop_assert_eq!(pixel[0], 255, "{}, {} of {:?}", x, y, dabs);
            }
        }
    }

    #[test]
    fn at_every_moment_the_journal_leads_to_what_is_shown(
        lines in proptest::collection::vec((line(), 0usize..8), 1..6), hardness in 0.0..1.0f32,
    ) {
        let mut editor = with_colours();
        editor.update(Message::Setting(ToolChange::Size(40.0)));
        editor.update(Message::Setting(ToolChange::Hardness(hardness)));
        let base = editor.mask().clone();
        for (places, next) in &lines {
            hold(&mut editor, places);
            let journal = editor.journal();
            prop_assert_eq!(&journal.map_or_else(|| base.clone(), |journal| journal.applied(&base)), editor.mask());
            match next {
                0 => drop(act(&mut editor, &Deed::Undo)),
                1 => drop(act(&mut editor, &Deed::Redo)),
                2 => drop(act(&mut editor, &Deed::Edit(Edit::Invert, 1))),
                3 => drop(act(&mut editor, &Deed::Propose(90, Combine::Add))),
                4 => drop(editor.update(Message::Tool(Tool::Brush))),
                5 => drop(editor.update(Message::Escape)),
                _ => lift(&mut editor, (places[0].0, places[0].1)),
            }
            let journal = editor.journal();
            prop_assert_eq!(&journal.map_or_else(|| base.clone(), |journal| journal.applied(&base)), editor.mask());
            lift(&mut editor, (0.0, 0.0));
            prop_assert!(!editor.is_busy());
        }
        let end = editor.mask().clone();
        let depth = editor.history().depth();
        (0..depth).for_each(|_| drop(editor.update(Message::Undo)));
        prop_assert_eq!(editor.mask(), &base);
        (0..depth).for_each(|_| drop(editor.update(Message::Redo)));
        prop_assert_eq!(editor.mask(), &end);
    }
}

#[test]
fn a_step_back_in_the_middle_of_a_line_takes_that_line_back_and_no_other() {
    let mut editor = blank();
    drag(&mut editor, &[(40.0, 40.0)], |pointer| pointer);
    let first = editor.mask().clone();
    hold(&mut editor, &[(100.0, 100.0, 0.5), (200.0, 100.0, 0.5)]);
    let both = editor.mask().clone();
    editor.update(Message::Undo);
    assert_eq!(editor.mask(), &first);
    // What is lifted now was let go before.
    lift(&mut editor, (250.0, 100.0));
    assert_eq!(editor.mask(), &first);
    editor.update(Message::Redo);
    assert_eq!(editor.mask(), &both);
}

#[test]
fn a_tool_that_is_taken_up_in_the_middle_of_a_line_keeps_it() {
    let mut editor = blank();
    hold(&mut editor, &[(100.0, 100.0, 0.5), (200.0, 100.0, 0.5)]);
    let drawn = editor.mask().clone();
    assert!(editor.begin_save().is_none(), "half a line is not sent");
    editor.update(Message::Tool(Tool::Eraser));
    assert_eq!((editor.mask(), editor.history().depth(), editor.is_busy()), (&drawn, 1, false));
    assert!(editor.begin_save().is_some());
}

#[test]
fn what_only_moves_the_photo_does_not_keep_it_from_being_saved() {
    let mut editor = blank();
    drag(&mut editor, &[(40.0, 40.0)], |pointer| pointer);
    editor.update(Message::Tool(Tool::Hand));
    hold(&mut editor, &[(100.0, 100.0, 0.5), (120.0, 100.0, 0.5)]);
    assert!(editor.is_busy() && editor.begin_save().is_some());
}

#[test]
fn a_conflict_that_ends_in_the_middle_of_a_line_leaves_it_to_be_drawn() {
    let theirs = GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| Luma([if x < 50 { 255 } else { 0 }]));
    let mut editor = blank();
    drag(&mut editor, &[(40.0, 40.0)], |pointer| pointer);
    let before = editor.mask().clone();
    editor.begin_save().unwrap();
    hold(&mut editor, &[(100.0, 100.0, 0.5), (200.0, 100.0, 0.5)]);
    editor.update(Message::Conflict);
    editor.update(Message::Resolve(Choice::Mine, theirs.clone(), Some("v2".to_owned())));
    assert!(editor.is_busy() && editor.begin_save().is_none());
    assert_eq!(&editor.journal().unwrap().applied(&theirs), editor.mask());
    editor.update(Message::Escape);
    assert_eq!(editor.mask(), &before);
    assert_eq!(&editor.journal().unwrap().applied(&theirs), editor.mask());
    assert_eq!(editor.begin_save().unwrap().base.as_deref(), Some("v2"));
}

#[test]
fn two_fingers_of_whoever_holds_the_wand_only_zoom() {
    let mut editor = with_colours();
    editor.update(Message::Tool(Tool::Wand));
    let touch = |id: i32, phase: Phase, x: f64| {
        Message::Pointer(Pointer { id, kind: PointerKind::Touch, ..pointer(phase, x, 100.0) })
    };
    editor.update(touch(1, Phase::Down, 100.0));
    editor.update(touch(2, Phase::Down, 200.0));
    editor.update(touch(2, Phase::Move, 240.0));
    editor.update(touch(1, Phase::Up, 100.0));
    editor.update(touch(2, Phase::Up, 240.0));
    assert_eq!((editor.history().depth(), editor.is_busy()), (0, false));
    // One finger takes what lies under it; a key does so at once.
    editor.update(touch(3, Phase::Down, 100.0));
    editor.update(touch(3, Phase::Up, 100.0));
    assert_eq!(editor.history().depth(), 1);
    editor.update(Message::Undo);
    editor.update(Message::CursorPress);
    assert_eq!((editor.history().depth(), editor.is_busy()), (1, false));
}

#[test]
fn steps_that_change_nothing_on_another_mask_are_not_undone_for_others() {
    let mut editor = blank();
    drag(&mut editor, &[(40.0, 40.0)], |pointer| pointer);
    drag(&mut editor, &[(200.0, 100.0)], |pointer| pointer);
    editor.update(Message::Undo);
    let journal = editor.journal().unwrap();
    // Somebody else has covered meanwhile what was undone here.
    let theirs = GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| Luma([if x > 150 { 255 } else { 0 }]));
    let mut fresh = MaskEditor::new(theirs, Some("v2".to_owned()), (332.0, 232.0));
    fresh.update(Message::Recover(Box::new(journal)));
    assert_eq!((fresh.mask().get_pixel(40, 40)[0], fresh.mask().get_pixel(200, 100)[0]), (255, 255));
    assert_eq!((fresh.history().depth(), fresh.history().next_redo()), (1, None));
}
