//! One thing at a time.

use super::*;

fn touch(id: i32, phase: Phase, x: f64, y: f64) -> Message {
    Message::Pointer(Pointer { id, kind: PointerKind::Touch, ..pointer(phase, x, y) })
}

fn covered(editor: &MaskEditor, x: u32, y: u32) -> u8 {
    editor.mask().get_pixel(x, y)[0]
}

#[test]
fn a_hard_brush_covers_its_disc() {
    let mut editor = blank();
    editor.update(Message::Setting(ToolChange::Size(20.0)));
    editor.update(Message::Setting(ToolChange::Hardness(1.0)));
    let effects = drag(&mut editor, &[(100.0, 80.0)], |pointer| pointer);
    assert_eq!(
        (covered(&editor, 100, 80), covered(&editor, 91, 80), covered(&editor, 100, 71)),
        (255, 255, 255)
    );
    assert_eq!((covered(&editor, 88, 80), covered(&editor, 107, 87)), (0, 0));
    let area: u64 = editor.mask().as_raw().iter().map(|&pixel| u64::from(pixel)).sum();
    assert!((area as f64 / 255.0 - std::f64::consts::PI * 100.0).abs() < 2.0, "{area}");
    let dirty = effects.dirty.unwrap();
    assert!(dirty.area() <= 24 * 24, "{dirty:?}");
}

#[test]
fn a_pen_draws_by_its_pressure() {
    let width = |pressure: f32| {
        let mut editor = blank();
        editor.update(Message::Setting(ToolChange::Size(40.0)));
        drag(&mut editor, &[(50.0, 50.0), (200.0, 50.0)], |p| Pointer {
            kind: PointerKind::Pen,
            pressure,
            ..p
        });
        (0..SIZE.1).filter(|&y| covered(&editor, 120, y) > 127).count()
    };
    assert!(width(0.0) >= 6 && width(0.0) < width(0.5) && width(0.5) < width(1.0) && width(1.0) <= 40);
}

#[test]
fn a_second_finger_turns_a_stroke_into_a_pinch() {
    let mut editor = blank();
    let scale = editor.view().scale;
    editor.update(touch(1, Phase::Down, 100.0, 100.0));
    editor.update(touch(1, Phase::Move, 110.0, 100.0));
    assert!(editor.mask().as_raw().iter().any(|&pixel| pixel > 0));
    let effects = editor.update(touch(2, Phase::Down, 200.0, 100.0));
    assert!(effects.dirty.is_some() && editor.mask().as_raw().iter().all(|&pixel| pixel == 0));
    editor.update(touch(2, Phase::Move, 290.0, 100.0));
    assert!((editor.view().scale / scale - 2.0).abs() < 1e-9);
    editor.update(touch(2, Phase::Up, 290.0, 100.0));
    editor.update(touch(1, Phase::Move, 140.0, 100.0));
    editor.update(touch(1, Phase::Up, 140.0, 100.0));
    assert_eq!((editor.history().depth(), editor.is_busy()), (0, false));
    // The next finger draws again.
    editor.update(touch(3, Phase::Down, 150.0, 100.0));
    editor.update(touch(3, Phase::Up, 150.0, 100.0));
    assert_eq!(editor.history().depth(), 1);
    // What has been drawn for long does not go because another finger comes to lie on the screen.
    editor.update(touch(4, Phase::Down, 50.0, 100.0));
    editor.update(touch(4, Phase::Move, 250.0, 100.0));
    let drawn = editor.mask().clone();
    editor.update(touch(5, Phase::Down, 200.0, 150.0));
    assert!(editor.history().depth() == 2 && *editor.mask() == drawn && editor.is_busy());
    editor.update(touch(4, Phase::Up, 250.0, 100.0));
    editor.update(touch(5, Phase::Up, 200.0, 150.0));
    assert!(*editor.mask() == drawn && !editor.is_busy());
}

#[test]
fn a_pinch_that_the_system_takes_away_leaves_the_fingers_free() {
    for lifted in [[1, 2], [2, 1]] {
        let mut editor = blank();
        editor.update(touch(1, Phase::Down, 100.0, 100.0));
        editor.update(touch(2, Phase::Down, 200.0, 100.0));
        editor.update(touch(2, Phase::Move, 220.0, 100.0));
        let view = *editor.view();
        for id in lifted {
            editor.update(touch(id, Phase::Cancel, 0.0, 0.0));
        }
        assert!(!editor.is_busy() && *editor.view() == view, "{lifted:?}");
        // The next finger draws, and what it draws can be saved.
        editor.update(touch(3, Phase::Down, 150.0, 100.0));
        editor.update(touch(3, Phase::Up, 150.0, 100.0));
        assert!(editor.history().depth() == 1 && editor.begin_save().is_some(), "{lifted:?}");
    }
}

#[test]
fn a_finger_that_is_left_of_a_pinch_still_moves_the_photo() {
    let mut editor = blank();
    editor.update(touch(1, Phase::Down, 100.0, 100.0));
    editor.update(touch(2, Phase::Down, 200.0, 100.0));
    editor.update(touch(2, Phase::Cancel, 200.0, 100.0));
    let before = editor.view().x;
    editor.update(touch(1, Phase::Move, 110.0, 100.0));
    assert!((editor.view().x - before - 10.0).abs() < 1e-9);
    editor.update(touch(1, Phase::Up, 110.0, 100.0));
    assert_eq!((editor.history().depth(), editor.is_busy()), (0, false));
}

#[test]
fn a_hand_that_rests_beside_a_pen_does_not_draw() {
    let mut editor = blank();
    drag(&mut editor, &[(50.0, 50.0)], |p| Pointer { kind: PointerKind::Pen, ..p });
    editor.update(touch(7, Phase::Down, 200.0, 100.0));
    editor.update(touch(7, Phase::Move, 230.0, 100.0));
    editor.update(touch(7, Phase::Up, 230.0, 100.0));
    assert_eq!(editor.history().depth(), 1);
}

#[test]
fn what_the_system_takes_away_leaves_no_trace() {
    let mut editor = blank();
    editor.update(touch(1, Phase::Down, 100.0, 100.0));
    editor.update(touch(1, Phase::Move, 190.0, 100.0));
    editor.update(touch(1, Phase::Cancel, 190.0, 100.0));
    assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 0) && editor.journal().is_none());
}

#[test]
fn the_keyboard_draws_a_line() {
    let mut editor = blank();
    editor.update(Message::Setting(ToolChange::Size(10.0)));
    let key = |editor: &mut MaskEditor, key: &str| {
        let found = editor.prompt().found.is_some();
        editor.update(key_message(key, Held { shift: true, control: false }, found).unwrap());
    };
    key(&mut editor, "Enter");
    key(&mut editor, "ArrowRight");
    key(&mut editor, "ArrowRight");
    key(&mut editor, "Enter");
    assert_eq!(editor.history().depth(), 1);
    assert_eq!(
        (covered(&editor, 150, 100), covered(&editor, 182, 100), covered(&editor, 214, 100)),
        (255, 255, 255)
    );
    assert_eq!(covered(&editor, 224, 100), 0);
}

#[test]
fn shift_draws_a_straight_line_from_the_last_end() {
    let mut editor = blank();
    drag(&mut editor, &[(20.0, 20.0)], |pointer| pointer);
    let keys = Keys { shift: true, ..Keys::default() };
    drag(&mut editor, &[(200.0, 110.0)], |pointer| Pointer { keys, ..pointer });
    assert_eq!((covered(&editor, 110, 65), covered(&editor, 200, 110)), (255, 255));
}

#[test]
fn the_wand_asks_for_colours_once() {
    let mut editor = blank();
    editor.update(Message::Tool(Tool::Wand));
    let asked = drag(&mut editor, &[(70.0, 70.0)], |pointer| pointer);
    assert_eq!(asked.requests, [Request::Colours]);
    let effects = editor.update(Message::Colours(photo()));
    assert_eq!(effects.dirty, Some(Rect::new(0, 0, 128, 128)), "the tiles that hold the field of 60 x 60");
    assert_eq!(
        (covered(&editor, 60, 60), covered(&editor, 119, 119), covered(&editor, 120, 119)),
        (255, 255, 0)
    );
    assert!(drag(&mut editor, &[(10.0, 10.0)], |pointer| pointer).requests.is_empty());
    editor.update(Message::Undo);
    editor.update(Message::Undo);
    assert_eq!(editor.mask().as_raw().iter().max(), Some(&0));
}

#[test]
fn the_automatic_mask_is_looked_at_before_it_is_taken() {
    let mut editor = blank();
    editor.update(Message::Tool(Tool::Frame));
    let effects = drag(&mut editor, &[(250.0, 150.0), (40.0, 30.0)], |pointer| pointer);
    let [Request::Segment(first, hints)] = &effects.requests[..] else { panic!("{effects:?}") };
    assert_eq!(hints.bounds, Some([40.0, 30.0, 250.0, 150.0]));
    editor.update(Message::Tool(Tool::Point));
    let keys = Keys { alt: true, ..Keys::default() };
    let effects = drag(&mut editor, &[(60.0, 50.0)], |pointer| Pointer { keys, ..pointer });
    let [Request::Segment(second, hints)] = &effects.requests[..] else { panic!("{effects:?}") };
    assert!(!hints.strokes[0].on_subject && hints.bounds.is_some());
    // The answer to the first question is late.
    editor.update(Message::Found(*first, Ok(GrayImage::new(SIZE.0, SIZE.1))));
    assert!(editor.prompt().found.is_none());
    editor.update(Message::Found(*second, Ok(GrayImage::from_pixel(SIZE.0, SIZE.1, Luma([255])))));
    assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 0));
    editor.update(key_message("Enter", Held::default(), true).unwrap());
    assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 255) && editor.prompt().is_empty());
    editor.update(Message::Undo);
    assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 0));
}

#[test]
fn a_tool_that_is_turned_round_does_the_opposite_until_another_is_taken_up() {
    let mut editor = blank();
    editor.update(Message::Edit(Edit::Fill));
    editor.update(Message::Tool(Tool::Lasso));
    editor.update(Message::Setting(ToolChange::Turn));
    drag(&mut editor, &[(10.0, 10.0), (100.0, 10.0), (100.0, 100.0), (10.0, 100.0)], |pointer| pointer);
    assert_eq!((covered(&editor, 50, 50), covered(&editor, 150, 50)), (0, 255));
    // With Alt it does what it does else.
    let keys = Keys { alt: true, ..Keys::default() };
    let corners = [(20.0, 20.0), (80.0, 20.0), (80.0, 80.0), (20.0, 80.0)];
    drag(&mut editor, &corners, |pointer| Pointer { keys, ..pointer });
    assert_eq!(covered(&editor, 50, 50), 255);
    for (turns, on_subject) in [(1, false), (2, true)] {
        editor.update(Message::Tool(Tool::Point));
        (0..turns).for_each(|_| drop(editor.update(Message::Setting(ToolChange::Turn))));
        let effects = drag(&mut editor, &[(60.0, 50.0)], |pointer| pointer);
        let [Request::Segment(_, hints)] = &effects.requests[..] else { panic!("{effects:?}") };
        assert_eq!(hints.strokes.last().map(|stroke| stroke.on_subject), Some(on_subject));
    }
    // The brush has the eraser, and cannot be turned.
    editor.update(Message::Tool(Tool::Brush));
    editor.update(Message::Setting(ToolChange::Turn));
    assert!(!editor.tools().turned);
}

#[test]
fn a_box_that_is_no_box_and_an_answer_that_is_none_are_harmless() {
    let mut editor = blank();
    editor.update(Message::Tool(Tool::Frame));
    assert!(drag(&mut editor, &[(50.0, 50.0), (51.0, 50.0)], |pointer| pointer).requests.is_empty());
    drag(&mut editor, &[(50.0, 50.0), (90.0, 90.0)], |pointer| pointer);
    editor.update(Message::Found(1, Err("The server is gone.".to_owned())));
    assert_eq!(editor.prompt().fault.as_deref(), Some("The server is gone."));
    editor.update(Message::Escape);
    assert!(editor.prompt().is_empty());
    // A mask of another size changes nothing.
    editor.update(Message::Propose(GrayImage::from_pixel(3, 3, Luma([255]))));
    editor.update(Message::Accept(Combine::Replace));
    assert_eq!(editor.history().depth(), 0);
}

#[test]
fn nothing_is_overwritten_in_a_conflict_before_a_person_has_chosen() {
    let theirs = GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| Luma([if x < 50 { 255 } else { 0 }]));
    for (choice, wanted) in [(Choice::Mine, (0, 255)), (Choice::Theirs, (255, 0)), (Choice::Both, (255, 255))]
    {
        let mut editor = blank();
        drag(&mut editor, &[(200.0, 100.0)], |pointer| pointer);
        let upload = editor.begin_save().unwrap();
        assert_eq!((upload.base, editor.save_state()), (None, &SaveState::Saving));
        assert!(editor.begin_save().is_none(), "one at a time");
        editor.update(Message::Conflict);
        drag(&mut editor, &[(210.0, 100.0)], |pointer| pointer);
        assert!(editor.begin_save().is_none() && *editor.save_state() == SaveState::Conflict);
        let mine = editor.mask().clone();
        editor.update(Message::Resolve(choice, theirs.clone(), Some("v2".to_owned())));
        assert_eq!((covered(&editor, 10, 10), covered(&editor, 200, 100)), wanted, "{choice:?}");
        let upload = editor.begin_save();
        match choice {
            Choice::Theirs => assert!(upload.is_none() && editor.journal().is_none()),
            _ => {
                assert_eq!(upload.unwrap().base.as_deref(), Some("v2"));
                assert_eq!(editor.journal().unwrap().applied(&theirs), *editor.mask());
            }
        }
        if choice != Choice::Mine {
            editor.update(Message::Undo);
            assert_eq!(*editor.mask(), mine, "one's own is not lost");
        }
    }
}

#[test]
fn a_failed_upload_is_tried_again_with_all_of_the_work() {
    let mut editor = blank();
    drag(&mut editor, &[(200.0, 100.0)], |pointer| pointer);
    editor.begin_save().unwrap();
    editor.update(Message::SaveFailed("offline".to_owned()));
    assert_eq!(*editor.save_state(), SaveState::Failed("offline".to_owned()));
    assert!(editor.journal().is_some());
    assert!(editor.begin_save().is_some());
    editor.update(Message::Saved(Some("v1".to_owned())));
    assert_eq!((editor.save_state(), editor.journal()), (&SaveState::Saved, None));
    editor.update(Message::Undo);
    assert_eq!(editor.begin_save().unwrap().base.as_deref(), Some("v1"));
}

#[test]
fn whoever_leaves_during_an_upload_knows_whether_there_is_more_to_send() {
    let mut editor = blank();
    drag(&mut editor, &[(200.0, 100.0)], |pointer| pointer);
    assert_eq!(editor.unsent(), None, "it is sent by a save");
    let upload = editor.begin_save().unwrap();
    assert_eq!(editor.unsent(), None, "all of it is on its way");
    drag(&mut editor, &[(50.0, 50.0)], |pointer| pointer);
    assert_eq!(editor.unsent().as_ref(), Some(editor.mask()));
    // The same by a step back, and by a stroke that is still being drawn.
    editor.update(Message::Undo);
    assert_eq!(editor.unsent(), None, "what is shown is what is on its way");
    editor.update(Message::Undo);
    assert!(editor.unsent().is_some_and(|mask| mask != upload.mask));
    editor.update(Message::Redo);
    let at = editor.view().to_screen((90.0, 90.0));
    editor.update(Message::Pointer(pointer(Phase::Down, at.0, at.1)));
    assert_eq!(editor.unsent().as_ref(), Some(editor.mask()));
    editor.update(Message::Pointer(pointer(Phase::Up, at.0, at.1)));
    editor.update(Message::Saved(Some("v1".to_owned())));
    assert_eq!(editor.unsent(), None);
    assert_eq!(editor.begin_save().unwrap().base.as_deref(), Some("v1"));
}

#[test]
fn a_stroke_that_a_reload_interrupts_is_in_the_journal() {
    let mut editor = blank();
    let at = editor.view().to_screen((50.0, 50.0));
    editor.update(Message::Pointer(pointer(Phase::Down, at.0, at.1)));
    editor.update(Message::Pointer(pointer(Phase::Move, at.0 + 60.0, at.1 + 20.0)));
    let journal = editor.journal().unwrap();
    let mut fresh = blank();
    fresh.update(Message::Recover(Box::new(journal)));
    assert_eq!(fresh.mask(), editor.mask());
    assert!(fresh.begin_save().is_some() && editor.begin_save().is_none());
}

#[test]
fn every_key_of_the_sheet_means_something() {
    let held = Held::default();
    for key in [
        "b", "e", "l", "w", "m", "p", "k", "h", "[", "]", "{", "}", "o", "i", "g", "s", "f", "v", "0", "1",
        "+", "-",
    ] {
        assert!(key_message(key, held, false).is_some(), "{key}");
        let written = key.to_uppercase();
        assert!(
            SHEET.iter().any(|line| line.keys.contains(&written) || (key == "-" && line.keys.contains('−'))),
            "{key}"
        );
    }
    assert_eq!(key_message("x", held, false), None);
    assert_eq!(key_message("Z", Held { control: true, shift: true }, false), Some(Message::Redo));
}

#[test]
fn hundreds_of_strokes_on_a_large_photo_stay_small() {
    let mut editor = MaskEditor::new(GrayImage::new(6000, 4000), None, (1200.0, 800.0));
    for at in 0..400u32 {
        editor.update(Message::Tool(if at % 3 == 0 { Tool::Eraser } else { Tool::Brush }));
        let place =
            |step: u32| (f64::from((at * 731 + step * 67) % 6000), f64::from((at * 397 + step * 41) % 4000));
        drag(&mut editor, &[place(0), place(1), place(2), place(3)], |pointer| pointer);
    }
    for edit in [Edit::Invert, Edit::Feather, Edit::Invert, Edit::Grow] {
        editor.update(Message::Edit(edit));
    }
    assert!(editor.history().depth() > 300, "{}", editor.history().depth());
    let megabytes = editor.history().size() as f64 / 1e6;
    println!("{} steps take {megabytes:.1} MB", editor.history().depth());
    assert!(megabytes < 48.0, "{megabytes}");
    while editor.history().depth() > 0 {
        editor.update(Message::Undo);
    }
    assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 0));
}
