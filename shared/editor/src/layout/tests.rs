use mudi_domain::collage::MAX_SUBJECTS;
use mudi_domain::rng;
use mudi_domain::segmix::Shape;
use proptest::prelude::*;

use super::*;
use crate::Phase;

mod gamma;
mod shape;

fn id(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

fn shapes() -> Shapes {
    [(id("a"), [(0, (100, 200)), (1, (300, 100))].into()), (id("b"), [(0, (80, 80))].into())].into()
}

fn two() -> Designer {
    let mut designer = Designer::new(None, shapes(), Options::default());
    designer.update(Message::Add(id("a"), 0));
    designer.update(Message::Add(id("b"), 0));
    designer
}

fn pointer(id: i32, phase: Phase, x: f64, y: f64) -> Message {
    Message::Pointer(Pointer { id, phase, at: (x, y), reach: 0.02, shift: false, alt: false })
}

fn drag(designer: &mut Designer, from: Point, to: Point) {
    designer.update(pointer(1, Phase::Down, from.0, from.1));
    designer.update(pointer(1, Phase::Move, (from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0));
    designer.update(pointer(1, Phase::Up, to.0, to.1));
}

fn near(a: Point, b: Point) -> bool {
    (a.0 - b.0).hypot(a.1 - b.1) < 1e-6
}

#[test]
fn a_drag_moves_and_one_undo_brings_it_back() {
    let mut designer = two();
    let (before, center) = (designer.placements().to_vec(), designer.frame(1).center);
    drag(&mut designer, center, (center.0 + 0.113, center.1 - 0.137));
    assert!(near(designer.frame(1).center, (center.0 + 0.113, center.1 - 0.137)));
    assert_eq!(designer.chosen().iter().copied().collect::<Vec<_>>(), [1]);
    designer.update(Message::Undo);
    assert_eq!(designer.placements(), before);
    designer.update(Message::Redo);
    assert!(near(designer.frame(1).center, (center.0 + 0.113, center.1 - 0.137)));
}

#[test]
fn somebody_who_drags_all_day_can_go_back_so_far() {
    let mut designer = two();
    let mut places = Vec::new();
    for step in 0..STEPS_BACK + 50 {
        let center = designer.frame(1).center;
        places.push(center);
        let by = if step % 2 == 0 { 0.113 } else { -0.127 };
        drag(&mut designer, center, (center.0 + by, center.1 - by / 2.0));
    }
    for place in places.iter().rev().take(STEPS_BACK) {
        designer.update(Message::Undo);
        assert!(near(designer.frame(1).center, *place));
    }
    assert_eq!(designer.can(), (false, true));
}

#[test]
fn a_corner_scales_about_the_opposite_one() {
    let mut designer = two();
    designer.update(Message::Choose(Some(0), false));
    designer.update(Message::TurnTo(30.0));
    let frame = designer.frame(0);
    let (held, fixed) = (frame.corners()[2], frame.corners()[0]);
    let to = (fixed.0 + (held.0 - fixed.0) * 1.3, fixed.1 + (held.1 - fixed.1) * 1.3);
    drag(&mut designer, held, to);
    let scaled = designer.frame(0);
    assert!(near(scaled.corners()[0], fixed) && near(scaled.corners()[2], to));
    assert!((scaled.height / scaled.width - 2.0).abs() < 1e-9 && designer.placements()[0].height.is_none());
}

#[test]
fn the_handle_above_turns_and_quarters_attract() {
    let mut designer = two();
    designer.update(Message::Choose(Some(1), false));
    let (stalk, center) = (designer.frame(1).stalk(), designer.frame(1).center);
    drag(&mut designer, stalk, (center.0 + 0.3, center.1 + 0.005));
    assert_eq!(designer.placements()[1].rotation, 90.0);
    let stalk = designer.frame(1).stalk();
    drag(&mut designer, stalk, (center.0 + 0.3, center.1 + 0.3));
    assert!((designer.placements()[1].rotation - 135.0).abs() < 1e-3);
    designer.update(Message::TurnTo(180.0));
    assert_eq!(designer.placements()[1].rotation, 180.0, "not -180: a slider would jump to its other end");
    designer.update(Message::Turn(1.0));
    assert_eq!(designer.placements()[1].rotation, -179.0);
}

#[test]
fn two_fingers_move_turn_and_scale() {
    let mut designer = two();
    designer.update(Message::Choose(Some(1), false));
    let frame = designer.frame(1);
    let (x, y) = frame.center;
    designer.update(pointer(1, Phase::Down, x - 0.1, y));
    designer.update(pointer(2, Phase::Down, x + 0.1, y));
    designer.update(pointer(1, Phase::Move, x, y - 0.15));
    designer.update(pointer(2, Phase::Move, x, y + 0.15));
    let pinched = designer.frame(1);
    assert!(near(pinched.center, frame.center));
    assert!((pinched.width / frame.width - 1.5).abs() < 1e-9 && (pinched.rotation - 90.0).abs() < 1e-6);
    designer.update(pointer(2, Phase::Up, x, y + 0.15));
    designer.update(pointer(1, Phase::Up, x, y - 0.15));
    designer.update(Message::Undo);
    assert!(near(designer.frame(1).center, frame.center) && designer.frame(1).width == frame.width);
}

#[test]
fn two_fingers_around_a_subject_take_hold_of_it() {
    let mut designer = two();
    designer.update(Message::Choose(Some(1), false));
    designer.update(Message::Scale(0.1));
    let frame = designer.frame(1);
    let (x, y) = (frame.center.0, frame.center.1);
    // Nothing lies under either of them.
    designer.update(pointer(1, Phase::Down, x - 0.1, y - 0.45));
    designer.update(pointer(2, Phase::Down, x + 0.1, y + 0.45));
    assert_eq!(designer.only_chosen(), Some(1));
    designer.update(pointer(1, Phase::Move, x - 0.2, y - 0.9));
    designer.update(pointer(2, Phase::Move, x + 0.2, y + 0.9));
    designer.update(pointer(2, Phase::Up, x + 0.2, y + 0.9));
    assert!((designer.frame(1).width / frame.width - 2.0).abs() < 1e-9 && !designer.is_dragging());
    designer.update(Message::Undo);
    assert_eq!(designer.frame(1).width, frame.width);
}

#[test]
fn what_is_dragged_snaps_to_the_canvas_and_to_others_unless_alt_is_held() {
    let mut designer = two();
    designer.update(Message::Scale(0.9));
    let frame = designer.frame(1);
    let (x, y) = frame.center;
    let to_left = frame.width / 2.0 - x + 0.006;
    designer.update(pointer(1, Phase::Down, x, y));
    designer.update(pointer(1, Phase::Move, x + to_left, y + 0.2));
    assert!(designer.placements()[1].x.abs() < 1e-12);
    assert_eq!(designer.guides()[0], Guide { axis: 0, at: 0.0 });
    let Message::Pointer(moved) = pointer(1, Phase::Move, x + to_left, y) else { unreachable!() };
    designer.update(Message::Pointer(Pointer { alt: true, ..moved }));
    assert!((designer.placements()[1].x - 0.006).abs() < 1e-9 && designer.guides().is_empty());
    // Escape puts it back, and so does undo, which takes no further step.
    for back in [Message::Escape, Message::Undo] {
        designer.update(pointer(1, Phase::Move, x + to_left, y));
        designer.update(back);
        assert!(designer.frame(1) == frame && !designer.is_dragging());
        designer.update(pointer(1, Phase::Down, x, y));
    }
}

#[test]
fn aligning_and_distributing_use_the_boxes_that_are_seen() {
    let mut designer = two();
    designer.update(Message::Add(id("a"), 1));
    designer.update(Message::TurnTo(90.0));
    designer.update(Message::ChooseAll);
    designer.update(Message::Align(Align::Top));
    let tops: Vec<f64> = (0..3).map(|index| designer.frame(index).bounds().least[1]).collect();
    assert!(tops.iter().all(|top| (top - tops[0]).abs() < 1e-9), "{tops:?}");
    designer.update(Message::Distribute(0));
    let mut boxes: Vec<_> = (0..3).map(|index| designer.frame(index).bounds()).collect();
    boxes.sort_by(|a, b| a.least[0].total_cmp(&b.least[0]));
    let gaps: Vec<f64> = boxes.windows(2).map(|pair| pair[1].least[0] - pair[0].most[0]).collect();
    assert!((gaps[0] - gaps[1]).abs() < 1e-9, "{gaps:?}");
    // Alone it is aligned with the canvas.
    designer.update(Message::Choose(Some(1), false));
    designer.update(Message::Align(Align::Right));
    assert!((designer.frame(1).bounds().most[0] - 1.0).abs() < 1e-9);
}

#[test]
fn choosing_more_chooses_and_lets_go() {
    let mut designer = two();
    let chosen = |designer: &Designer| designer.chosen().iter().copied().collect::<Vec<_>>();
    designer.update(Message::Choose(Some(0), false));
    designer.update(Message::Choose(Some(1), true));
    assert_eq!(chosen(&designer), [0, 1]);
    designer.update(Message::Choose(Some(0), true));
    assert_eq!(chosen(&designer), [1]);
    designer.update(Message::Choose(None, true));
    designer.update(Message::Choose(Some(9), true));
    assert_eq!(chosen(&designer), [1], "there is no such subject");
    designer.update(Message::Choose(Some(1), false));
    assert_eq!(chosen(&designer), [1]);
}

#[test]
fn the_stack_can_be_reordered() {
    let mut designer = two();
    designer.update(Message::Add(id("b"), 0));
    let order = |designer: &Designer| designer.placements().iter().map(|p| p.z).collect::<Vec<_>>();
    designer.update(Message::Choose(Some(0), false));
    designer.update(Message::Order(Order::Forward));
    assert_eq!(order(&designer), [1, 0, 2]);
    designer.update(Message::Order(Order::Front));
    assert_eq!(order(&designer), [2, 0, 1]);
    designer.update(Message::Order(Order::Backward));
    designer.update(Message::Order(Order::Back));
    assert_eq!(order(&designer), [0, 1, 2]);
    let frame = designer.frame(0);
    designer.update(Message::Choose(Some(2), false));
    designer.update(Message::Nudge(frame.center.0 - designer.frame(2).center.0, 0.0));
    assert_eq!(designer.at(designer.frame(0).center), Some(2), "the topmost is hit");
}

#[test]
fn nudges_in_a_row_are_one_step_back() {
    let mut designer = two();
    let before = designer.placements().to_vec();
    for _ in 0..9 {
        designer.update(key_message("ArrowLeft", false, true, 1.0 / 512.0).unwrap());
    }
    assert!((designer.placements()[1].x - before[1].x + 9.0 * 16.0 / 512.0).abs() < 1e-9);
    designer.update(Message::Undo);
    assert_eq!(designer.placements(), before);
}

#[test]
fn undo_chooses_again_what_was_chosen() {
    let mut designer = two();
    let chosen = |designer: &Designer| designer.chosen().iter().copied().collect::<Vec<_>>();
    designer.update(Message::Choose(Some(0), false));
    designer.update(Message::Remove);
    assert_eq!(chosen(&designer), [0; 0]);
    // The other one has another number now.
    designer.update(Message::Choose(Some(0), false));
    designer.update(Message::Undo);
    assert_eq!((designer.placements()[0].subject.as_str(), chosen(&designer)), ("a", vec![0]));
    designer.update(Message::Redo);
    assert_eq!((designer.placements()[0].subject.as_str(), chosen(&designer)), ("b", vec![0]));
    // Where all stay what they are, so does what is chosen.
    designer.update(Message::Flip);
    designer.update(Message::Escape);
    designer.update(Message::Undo);
    assert_eq!(chosen(&designer), [0; 0]);
}

#[test]
fn another_finger_on_the_canvas_ends_no_drag() {
    for end in [Phase::Up, Phase::Cancel] {
        let mut designer = two();
        designer.update(Message::Snap(false));
        let (x, y) = designer.frame(1).center;
        designer.update(pointer(5, Phase::Down, -0.1, -0.1));
        designer.update(pointer(6, Phase::Down, x, y));
        designer.update(pointer(5, end, -0.1, -0.1));
        designer.update(pointer(6, Phase::Move, x + 0.1, y));
        assert!(designer.is_dragging() && near(designer.frame(1).center, (x + 0.1, y)), "{end:?}");
        designer.update(pointer(6, Phase::Up, x + 0.1, y));
        assert!(!designer.is_dragging() && near(designer.frame(1).center, (x + 0.1, y)), "{end:?}");
    }
}

#[test]
fn copies_other_photos_and_what_is_too_much() {
    let mut designer = two();
    designer.update(Message::Add(id("a"), 2));
    designer.update(Message::Add(id("c"), 0));
    assert_eq!(designer.placements().len(), 2, "there is no such cutout");
    for _ in 0..9 {
        designer.update(Message::Duplicate);
    }
    assert_eq!(designer.placements().len(), MAX_SUBJECTS);
    designer.update(Message::Choose(Some(0), false));
    let area = designer.frame(0).width * designer.frame(0).height;
    designer.update(Message::Photo(1));
    let frame = designer.frame(0);
    assert!(
        (frame.width / frame.height - 3.0).abs() < 1e-9 && (frame.width * frame.height - area).abs() < 1e-9
    );
    designer.update(Message::ChooseAll);
    designer.update(Message::Remove);
    assert!(designer.layout().is_none());
    designer.update(Message::Undo);
    assert_eq!(designer.placements().len(), MAX_SUBJECTS);
}

#[test]
fn a_random_layout_is_seg_mixs_own() {
    let law = Options { max_width: 0.7, margin: 64, ..Options::default() };
    let mut designer = Designer::new(None, shapes(), law.clone());
    designer.update(Message::Random(7));
    let items: Vec<_> = [("a", 100, 200), ("b", 80, 80)]
        .map(|(name, width, height)| (Shape { subject: id(name), width, height }, Some(0)))
        .into();
    let expected = Layout::random(&mut rng::stream(7, "layout", 0), &items, Aspect::Square, &law).unwrap();
    assert_eq!(designer.layout(), Some(expected));
    designer.update(Message::Random(8));
    designer.update(Message::Undo);
    designer.update(Message::Undo);
    assert_eq!(designer.layout(), None);
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let number = prop_oneof![-3.0..3.0f64, Just(f64::NAN), Just(1e300)];
    let numbers = (number.clone(), number);
    let message =
        (0usize..21, numbers, 0usize..9, any::<bool>()).prop_map(|(kind, (x, y), index, flag)| match kind {
            0 => Message::Add(id("a"), index % 3),
            1 => Message::Add(id("b"), 0),
            2 => Message::Choose(Some(index), flag),
            3 => Message::ChooseAll,
            4 if flag => Message::Remove,
            4 | 5 => Message::Duplicate,
            6 => Message::Photo(index),
            7 => Message::Nudge(x, y),
            8 => Message::Scale(x),
            9 => Message::Turn(x * 50.0),
            10 => Message::Flip,
            11 => Message::Order([Order::Front, Order::Back, Order::Forward, Order::Backward][index % 4]),
            12 => Message::Align(Align::ALL[index % 6].0),
            13 => Message::Distribute(index),
            14 => Message::Random(index as u64),
            15 => Message::Undo,
            16 => Message::Redo,
            17 => pointer(index as i32 % 2, Phase::Down, x, y),
            18 => pointer(index as i32 % 2, Phase::Move, x, y),
            19 => Message::Aspect(Aspect::ALL[index]),
            _ => pointer(index as i32 % 2, if flag { Phase::Up } else { Phase::Cancel }, x, y),
        });
    proptest::collection::vec(message, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_done_the_layout_can_be_saved_and_undone(messages in messages()) {
        let mut designer = Designer::new(None, shapes(), Options::default());
        for message in messages {
            designer.update(message.clone());
            if let Some(layout) = designer.layout() {
                prop_assert_eq!(layout.validate(), Ok(()), "after {:?}", message);
                prop_assert_eq!(&Layout::from_json(&layout.to_json()).unwrap(), &layout);
            }
            prop_assert!(designer.chosen().iter().all(|&index| index < designer.placements().len()));
        }
        designer.update(Message::Escape);
        let end = (designer.aspect(), designer.placements().to_vec());
        let mut steps = 0;
        while designer.can().0 {
            designer.update(Message::Undo);
            steps += 1;
        }
        prop_assert!(designer.placements().is_empty() && designer.aspect() == Aspect::Square);
        for _ in 0..steps {
            designer.update(Message::Redo);
        }
        prop_assert_eq!((designer.aspect(), designer.placements().to_vec()), end);
    }
}

#[test]
fn a_first_photo_need_not_be_number_0() {
    let shapes: Shapes = [(id("a"), [(3, (100, 200)), (5, (300, 100))].into())].into();
    let unnamed = r#"{"version":1,"subjects":[{"subject":"a","x":0.1,"y":0.2,"width":0.3}]}"#;
    let layout = Layout::from_json(unnamed).unwrap();
    let mut designer = Designer::new(Some(layout.clone()), shapes, Options::default());
    assert_eq!(designer.placements()[0].photo, Some(3));
    designer.update(Message::Replace(layout));
    assert_eq!(designer.placements()[0].photo, Some(3));
    designer.update(Message::Remove);
    designer.update(Message::ChooseAll);
    designer.update(Message::Remove);
    designer.update(Message::Random(7));
    assert_eq!(designer.placements()[0].photo, Some(3));
}
