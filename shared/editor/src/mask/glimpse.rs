//! The mask under the pointer: what a click there would find, shown before it is made.

use image::GrayImage;
use mudi_domain::grabcut::Stroke;

use super::MaskEditor;
use super::gesture::Gesture;
use super::message::{Effects, Pointer, PointerKind, Request};
use super::tool::Tool;

/// What follows the pointer, where the page answers quickly enough for that.
#[derive(Debug, Clone, Default)]
pub struct Glimpse {
    /// The mask, at any size; none where nothing is seen under the pointer.
    pub mask: Option<GrayImage>,
    wanted: bool,
    /// The number of the last question.
    asked: u64,
    /// The number of the answer that is shown, or of the last question that no longer matters: what is not later than it
    /// is dropped.
    past: u64,
}

impl Glimpse {
    /// Turned on or off.
    pub(super) fn turn(&mut self, wanted: bool) -> Effects {
        self.wanted = wanted;
        if wanted { Effects::default() } else { self.end() }
    }

    /// Shows nothing any more; answers that are on their way are dropped.
    pub(super) fn end(&mut self) -> Effects {
        self.past = self.asked;
        Effects { glimpse: self.mask.take().is_some(), ..Effects::default() }
    }

    /// Takes an answer. The pointer may have moved on meanwhile: the answer to an earlier place is shown until there is one
    /// to a later place.
    pub(super) fn answer(&mut self, number: u64, mask: Option<GrayImage>) -> Effects {
        if number <= self.past || number > self.asked {
            return Effects::default();
        }
        self.past = number;
        let changed = self.mask != mask;
        self.mask = mask;
        Effects { glimpse: changed, ..Effects::default() }
    }
}

impl MaskEditor {
    /// The pointer hovers: asks what a click would find. Fingers do not hover.
    pub(super) fn look(&mut self, pointer: &Pointer) -> Effects {
        let hovers = matches!(self.gesture, Gesture::Idle) && pointer.kind != PointerKind::Touch;
        if !self.glimpse.wanted || !hovers || self.tools.tool != Tool::Point || pointer.keys.space {
            return Effects::default();
        }
        let at @ [x, y] = self.place(pointer.at);
        let (width, height) = (self.mask.width() as f32, self.mask.height() as f32);
        if !(0.0..width).contains(&x) || !(0.0..height).contains(&y) {
            return self.glimpse.end();
        }
        self.glimpse.asked += 1;
        let mut hints = self.prompt.hints.clone();
        let on_subject = !self.tools.is_opposite(pointer.keys.alt);
        hints.strokes.push(Stroke { places: vec![at], on_subject });
        Effects { requests: vec![Request::Look(self.glimpse.asked, hints)], ..Effects::default() }
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::super::{Button, Combine, Keys, Message};
    use super::*;
    use crate::Phase;

    const SIZE: (u32, u32) = (100, 80);

    fn editor() -> MaskEditor {
        // A window in which one pixel of the photo is one of the screen.
        let mut editor = MaskEditor::new(GrayImage::new(SIZE.0, SIZE.1), None, (132.0, 112.0));
        editor.update(Message::View(super::super::ViewChange::Actual));
        editor.update(Message::Glimpses(true));
        editor.update(Message::Tool(Tool::Point));
        editor
    }

    fn pointer(editor: &MaskEditor, phase: Phase, place: (f64, f64), alt: bool) -> Message {
        Message::Pointer(Pointer {
            id: 1,
            kind: PointerKind::Mouse,
            phase,
            at: editor.view().to_screen(place),
            pressure: 0.5,
            button: Button::Primary,
            keys: Keys { alt, ..Keys::default() },
        })
    }

    /// Hovers there; the number of the question and its last hint, where one is asked.
    fn hover(editor: &mut MaskEditor, place: (f64, f64), alt: bool) -> Option<(u64, usize, Stroke)> {
        let message = pointer(editor, Phase::Move, place, alt);
        match &editor.update(message).requests[..] {
            [] => None,
            [Request::Look(number, hints)] => {
                Some((*number, hints.strokes.len(), hints.strokes.last().unwrap().clone()))
            }
            other => panic!("{other:?}"),
        }
    }

    fn mask(value: u8) -> GrayImage {
        GrayImage::from_pixel(SIZE.0, SIZE.1, Luma([value]))
    }

    #[test]
    fn the_mask_follows_the_pointer_and_what_is_stale_is_dropped() {
        let mut editor = editor();
        let (first, ..) = hover(&mut editor, (10.0, 10.0), false).unwrap();
        let (second, ..) = hover(&mut editor, (20.0, 10.0), false).unwrap();
        let (third, count, stroke) = hover(&mut editor, (30.0, 10.0), true).unwrap();
        assert_eq!((count, stroke), (1, Stroke { places: vec![[30.0, 10.0]], on_subject: false }));
        // One may be passed over; an answer is better than none, until a later one is there.
        assert!(editor.update(Message::Glimpsed(second, Some(mask(2)))).glimpse);
        assert!(!editor.update(Message::Glimpsed(first, Some(mask(1)))).glimpse);
        assert_eq!(editor.glimpse().mask, Some(mask(2)));
        assert!(editor.update(Message::Glimpsed(third, None)).glimpse);
        assert_eq!(editor.glimpse().mask, None);
        // What was never asked is no answer.
        assert!(!editor.update(Message::Glimpsed(third + 1, Some(mask(3)))).glimpse);
        assert!(editor.mask().as_raw().iter().all(|&pixel| pixel == 0) && editor.journal().is_none());
    }

    #[test]
    fn a_click_ends_it_and_its_point_counts_for_the_next_one() {
        let mut editor = editor();
        let (asked, ..) = hover(&mut editor, (10.0, 10.0), false).unwrap();
        editor.update(Message::Glimpsed(asked, Some(mask(9))));
        let late = hover(&mut editor, (11.0, 10.0), false).unwrap().0;
        let down = pointer(&editor, Phase::Down, (11.0, 10.0), false);
        editor.update(down);
        // Nothing is asked while a button is held.
        assert_eq!(hover(&mut editor, (11.0, 10.0), false), None);
        let up = pointer(&editor, Phase::Up, (11.0, 10.0), false);
        let effects = editor.update(up);
        let [Request::Segment(number, hints)] = &effects.requests[..] else { panic!("{effects:?}") };
        assert_eq!(hints.strokes.len(), 1);
        assert!(effects.glimpse && editor.glimpse().mask.is_none());
        assert!(!editor.update(Message::Glimpsed(late, Some(mask(9)))).glimpse);
        editor.update(Message::Found(*number, Ok(mask(255))));
        let (_, count, _) = hover(&mut editor, (40.0, 40.0), true).unwrap();
        assert_eq!(count, 2);
        // Taken over, it is one step back.
        editor.update(Message::Accept(Combine::Replace));
        assert_eq!(editor.mask(), &mask(255));
        editor.update(Message::Undo);
        assert_eq!(editor.mask(), &mask(0));
        assert!(editor.history().next_undo().is_none());
    }

    #[test]
    fn nothing_is_asked_where_it_is_of_no_use() {
        let mut editor = editor();
        let (asked, ..) = hover(&mut editor, (10.0, 10.0), false).unwrap();
        editor.update(Message::Glimpsed(asked, Some(mask(9))));
        assert_eq!(hover(&mut editor, (-5.0, 10.0), false), None);
        assert_eq!(editor.glimpse().mask, None, "outside of the photo there is nothing");
        let message = pointer(&editor, Phase::Move, (10.0, 10.0), false);
        let Message::Pointer(finger) = message else { unreachable!() };
        let finger = Pointer { kind: PointerKind::Touch, ..finger };
        assert!(editor.update(Message::Pointer(finger)).requests.is_empty());
        editor.update(Message::Tool(Tool::Brush));
        assert_eq!(hover(&mut editor, (10.0, 10.0), false), None);
        editor.update(Message::Tool(Tool::Point));
        assert!(hover(&mut editor, (10.0, 10.0), false).is_some());
        for end in [Message::Leave, Message::Escape, Message::Glimpses(false)] {
            let (asked, ..) = hover(&mut editor, (12.0, 10.0), false).unwrap();
            editor.update(Message::Glimpsed(asked, Some(mask(9))));
            assert!(editor.update(end.clone()).glimpse, "{end:?}");
            assert_eq!(editor.glimpse().mask, None);
        }
        assert_eq!(hover(&mut editor, (10.0, 10.0), false), None);
    }
}
