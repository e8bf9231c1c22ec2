//! Canvases that are not square.

use super::*;

#[test]
fn a_canvas_of_another_shape_keeps_the_middle_and_is_one_step_back() {
    let mut designer = two();
    let before = designer.layout().unwrap();
    designer.update(Message::Aspect(Aspect::Panorama));
    assert_eq!(designer.layout().unwrap().aspect, Aspect::Panorama);
    for (placed, was) in designer.placements().iter().zip(&before.subjects) {
        assert!((placed.x - was.x - 0.75).abs() < 1e-9 && placed.width == was.width && placed.y == was.y);
    }
    // Its right edge is another one: for what is aligned with it, snaps to it, is pushed over it or newly put there.
    designer.update(Message::Align(Align::Right));
    assert!((designer.frame(1).bounds().most[0] - 2.5).abs() < 1e-9);
    let (x, y) = designer.frame(1).center;
    designer.update(pointer(1, Phase::Down, x, y));
    designer.update(pointer(1, Phase::Move, x - 0.006, y + 0.2));
    assert_eq!(designer.guides()[0], Guide { axis: 0, at: 2.5 });
    designer.update(Message::Escape);
    designer.update(Message::Nudge(9.0, 0.0));
    assert!((designer.frame(1).bounds().least[0] - 2.48).abs() < 1e-9);
    designer.update(Message::Add(id("b"), 0));
    assert!((designer.frame(2).center.0 - 0.72 * 2.5).abs() < 1e-9);
    designer.update(Message::Random(7));
    assert!(designer.placements().iter().any(|placed| placed.x > 1.0));
    designer.layout().unwrap().validate().unwrap();
    for _ in 0..4 {
        designer.update(Message::Undo);
    }
    assert_eq!(designer.aspect(), Aspect::Panorama);
    designer.update(Message::Undo);
    assert_eq!(designer.layout().unwrap(), before);
    designer.update(Message::Redo);
    assert_eq!(designer.aspect(), Aspect::Panorama);

    // The same shape once more is no step, and what would lie beside a narrow canvas is brought back to it.
    designer.update(Message::Aspect(Aspect::Panorama));
    designer.update(Message::Align(Align::Right));
    designer.update(Message::Aspect(Aspect::Phone));
    assert!(designer.frame(1).bounds().least[0] < 9.0 / 16.0);
    designer.layout().unwrap().validate().unwrap();
    designer.update(Message::Undo);
    designer.update(Message::Undo);
    designer.update(Message::Undo);
    assert_eq!(designer.layout().unwrap(), before);
    // Another layout brings its own shape, and takes it along.
    designer.update(Message::Replace(Layout { aspect: Aspect::Wide, ..before }));
    assert_eq!(designer.aspect(), Aspect::Wide);
    designer.update(Message::Undo);
    assert_eq!(designer.aspect(), Aspect::Square);
}
