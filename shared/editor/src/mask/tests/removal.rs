//! A mask of which nothing is left is none, in whatever order that comes about.

use super::*;

/// The mask on a server, and what is on its way to it.
struct Server {
    mask: Option<GrayImage>,
    /// The tag counts the changes.
    version: u32,
    sent: Option<Upload>,
}

fn blank_mask() -> GrayImage {
    GrayImage::new(SIZE.0, SIZE.1)
}

fn is_blank(mask: &GrayImage) -> bool {
    mask.as_raw().iter().all(|&coverage| coverage == 0)
}

impl Server {
    fn tag(&self) -> Option<String> {
        self.mask.as_ref().map(|_| format!("v{}", self.version))
    }

    /// Does what the page does with an upload.
    fn take(&mut self, upload: Upload) -> Option<String> {
        assert_eq!(upload.base, self.tag(), "nobody else writes");
        self.version += 1;
        self.mask = (!is_blank(&upload.mask)).then_some(upload.mask);
        self.tag()
    }

    /// A page on what the server has.
    fn open(&self) -> MaskEditor {
        let mask = self.mask.clone().unwrap_or_else(blank_mask);
        let mut editor = MaskEditor::new(mask, self.tag(), (332.0, 232.0));
        editor.update(Message::View(ViewChange::Actual));
        editor
    }

    /// The page is left: what is on its way arrives, and what was done since behind it.
    fn leave(&mut self, mut editor: MaskEditor) {
        editor.let_go();
        let behind = editor.unsent();
        let sent = self.sent.take().or_else(|| editor.begin_save());
        if let Some(upload) = sent {
            let base = self.take(upload);
            if let Some(mask) = behind {
                self.take(Upload { mask, base });
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Turn {
    Do(Deed),
    Remove,
    /// A save begins.
    Send,
    /// It arrives.
    Arrive,
    /// The tab is closed and opened again: nothing but the journal is left. What was on its way has not arrived.
    Reload,
    /// Another page of the program is gone to, and this one is come back to.
    Leave,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let place = (0.0..300.0f64, 0.0..200.0f64);
    let turn = prop_oneof![
        3 => proptest::collection::vec(place, 1..3).prop_map(|places| Turn::Do(Deed::Drag(Tool::Brush, places, false))),
        2 => Just(Turn::Remove),
        2 => Just(Turn::Do(Deed::Undo)),
        1 => Just(Turn::Do(Deed::Redo)),
        1 => Just(Turn::Do(Deed::Edit(Edit::Clear, 1))),
        2 => Just(Turn::Send),
        2 => Just(Turn::Arrive),
        1 => Just(Turn::Reload),
        1 => Just(Turn::Leave),
    ];
    proptest::collection::vec(turn, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_order_the_server_ends_with_what_is_shown(turns in turns(), masked: bool) {
        let mask = masked.then(|| GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| Luma([if x < 40 { 255 } else { 0 }])));
        let mut server = Server { mask, version: 1, sent: None };
        let mut editor = server.open();
        for turn in &turns {
            let before = editor.mask().clone();
            match turn {
                Turn::Do(deed) => drop(act(&mut editor, deed)),
                Turn::Remove => drop(editor.update(Message::Remove)),
                Turn::Send => server.sent = server.sent.take().or_else(|| editor.begin_save()),
                Turn::Arrive => {
                    if let Some(upload) = server.sent.take() {
                        let tag = server.take(upload);
                        editor.update(Message::Saved(tag));
                    }
                }
                Turn::Reload => {
                    server.sent = None;
                    let journal = editor.journal();
                    editor = server.open();
                    if let Some(journal) = journal {
                        prop_assert_eq!(journal.base(), editor.tag());
                        editor.update(Message::Recover(Box::new(journal)));
                    }
                    prop_assert_eq!(editor.mask(), &before, "a reload loses nothing");
                }
                Turn::Leave => {
                    server.leave(editor);
                    editor = server.open();
                    prop_assert_eq!(editor.mask(), &before, "neither does leaving");
                }
            }
        }
        let shown = editor.mask().clone();
        server.leave(editor);
        prop_assert_eq!(server.mask.clone().unwrap_or_else(blank_mask), shown);
        prop_assert!(server.mask.as_ref().is_none_or(|mask| !is_blank(mask)), "an empty mask is none");
    }
}

#[test]
fn a_mask_that_was_taken_away_comes_back_as_a_first_one() {
    let mut editor = blank();
    drag(&mut editor, &[(200.0, 100.0)], |pointer| pointer);
    let drawn = editor.begin_save().unwrap().mask;
    editor.update(Message::Saved(Some("v1".to_owned())));
    editor.update(Message::Remove);
    let upload = editor.begin_save().unwrap();
    assert!(is_blank(&upload.mask) && upload.base.as_deref() == Some("v1"));
    assert!(editor.begin_save().is_none(), "one at a time");
    editor.update(Message::SaveFailed("offline".to_owned()));
    assert_eq!(editor.begin_save().unwrap().base.as_deref(), Some("v1"));
    editor.update(Message::Saved(None));
    assert_eq!((editor.save_state(), editor.journal(), editor.tag()), (&SaveState::Saved, None, None));
    editor.update(Message::Undo);
    let journal = editor.journal().unwrap();
    let upload = editor.begin_save().unwrap();
    assert_eq!((&upload.mask, upload.base), (&drawn, None));
    assert_eq!(journal.applied(&blank_mask()), drawn, "a reload loses nothing");
}

#[test]
fn a_mask_of_the_server_that_covers_nothing_can_be_removed() {
    let mut editor = MaskEditor::new(GrayImage::new(8, 8), Some("v2".to_owned()), (100.0, 100.0));
    assert!(editor.begin_save().is_none());
    editor.update(Message::Remove);
    assert_eq!(editor.begin_save().unwrap().base.as_deref(), Some("v2"));
    editor.update(Message::Saved(None));
    assert_eq!((editor.save_state(), editor.tag()), (&SaveState::Saved, None));
}
