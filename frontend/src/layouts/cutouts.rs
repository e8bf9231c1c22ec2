//! The subjects, cut out of their photos: their shapes are known at once, their pixels are read when they are needed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Photo, SubjectSummary};
use mudi_domain::collage::MAX_SUBJECTS;
use mudi_domain::cutout::{Cutout, CutoutError};
use mudi_domain::layout::Placement;
use mudi_domain::mask::Mask;
use mudi_domain::subject::SubjectId;
use mudi_editor::layout::Shapes;
use wasm_bindgen::{Clamped, JsValue};
use web_sys::{HtmlCanvasElement, ImageData};

use crate::api::{self, Answer, ApiError};
use crate::masks::{canvas, context, decode_mask, decode_photo};

/// The longer side of what is dragged, in pixels; the exact canvas is made of the cutout itself.
const DRAGGED: u32 = 640;

/// The photos of each subject by their numbers, which layouts name them by. Those whose mask has bounds can be cut out.
pub(super) type Sources = BTreeMap<SubjectId, BTreeMap<usize, Photo>>;

/// The photo that a layout names: the first, where it names none.
pub(super) fn placed<'a>(sources: &'a Sources, placement: &Placement) -> Option<&'a Photo> {
    let photos = sources.get(&placement.subject)?;
    match placement.photo {
        Some(number) => photos.get(&number),
        None => photos.first_key_value().map(|(_, photo)| photo),
    }
}

/// The longer side of what a preview is made of while something is dragged, in pixels.
const QUICK: u32 = 160;

/// A cutout, and smaller copies: for the screen, and for previews.
struct Loaded {
    cutout: Cutout,
    small: Cutout,
    picture: HtmlCanvasElement,
}

/// A subject and the number of its photo.
type Key = (SubjectId, usize);

/// A cutout that is to be loaded, and where its photo's API is.
type Wanted = (Key, String);

/// How many scaled cutouts are kept: for the canvas and for the preview.
const KEPT: usize = 2 * MAX_SUBJECTS;

/// How long after the server did not answer a cutout is asked for again, in milliseconds.
const AGAIN: u32 = 3000;

/// All that can be put on the canvas.
#[derive(Clone, Copy)]
pub(super) struct Cutouts {
    /// The subjects, in the order in which they were added.
    pub(super) subjects: StoredValue<Vec<SubjectSummary>>,
    pub(super) sources: StoredValue<Sources>,
    project: StoredValue<String>,
    loaded: StoredValue<BTreeMap<Key, Loaded>, LocalStorage>,
    /// Those that were scaled last.
    kept: StoredValue<VecDeque<(Key, Rc<Cutout>)>, LocalStorage>,
    asked: StoredValue<BTreeSet<Key>>,
    /// Those that are still to be loaded, and whether one is being loaded.
    queue: StoredValue<(VecDeque<Wanted>, bool)>,
    /// How many are there and how many were asked for.
    pub(super) progress: RwSignal<(usize, usize)>,
    /// Why one is missing.
    pub(super) fault: RwSignal<Option<ApiError>>,
}

impl Cutouts {
    /// Of the photos of a project, whose API is at `project`.
    pub(super) fn new(project: String, subjects: Vec<SubjectSummary>, sources: Sources) -> Self {
        Self {
            subjects: StoredValue::new(subjects),
            sources: StoredValue::new(sources),
            project: StoredValue::new(project),
            loaded: StoredValue::new_local(BTreeMap::new()),
            kept: StoredValue::new_local(VecDeque::new()),
            asked: StoredValue::new(BTreeSet::new()),
            queue: StoredValue::new(Default::default()),
            progress: RwSignal::new((0, 0)),
            fault: RwSignal::new(None),
        }
    }

    /// The shapes of all cutouts.
    pub(super) fn shapes(self) -> Shapes {
        let shape = |(number, photo): (&usize, &Photo)| {
            photo.bounds.map(|bounds| (*number, (bounds.width, bounds.height)))
        };
        self.sources.with_value(|sources| {
            sources
                .iter()
                .map(|(subject, photos)| (subject.clone(), photos.iter().filter_map(shape).collect()))
                .collect()
        })
    }

    /// What `look` finds of a photo that can be cut out.
    fn source<T>(
        self,
        subject: &SubjectId,
        photo: usize,
        look: impl FnOnce(&Photo) -> Option<T>,
    ) -> Option<T> {
        self.sources.with_value(|sources| sources.get(subject)?.get(&photo).and_then(look))
    }

    /// Why a cutout will never be there.
    pub(super) fn missing(self, subject: &SubjectId, photo: usize) -> Option<String> {
        if self.source(subject, photo, |photo| photo.bounds).is_some() {
            return None;
        }
        let name = self.subjects.with_value(|subjects| {
            subjects.iter().find(|known| known.id == *subject).map(|known| known.name.clone())
        });
        let name = name.unwrap_or_else(|| subject.to_string());
        Some(format!("Photo {} of {name} has no mask or is gone. Take it off the canvas.", photo + 1))
    }

    /// Loads a cutout, unless that was asked for before.
    pub(super) fn want(self, subject: &SubjectId, photo: usize) {
        let key = (subject.clone(), photo);
        if self.asked.try_update_value(|asked| asked.insert(key.clone())) != Some(true) {
            return;
        }
        // One without a mask stays without: the photos were read when the page was opened.
        let Some(id) = self.source(subject, photo, |photo| photo.bounds.map(|_| photo.id)) else {
            return;
        };
        let path = format!("{}/photos/{id}", self.project.get_value());
        self.progress.update(|(_, asked)| *asked += 1);
        let idle = self.queue.try_update_value(|(wanted, busy)| {
            wanted.push_back((key, path));
            !std::mem::replace(busy, true)
        });
        if idle == Some(true) {
            spawn_local(self.work());
        }
    }

    /// Loads what is wanted, one after another: a photo takes a hundred megabytes while it is cut out.
    async fn work(self) {
        let next = |(wanted, busy): &mut (VecDeque<Wanted>, bool)| {
            let next = wanted.pop_front();
            *busy = next.is_some();
            next
        };
        while let Some((key, path)) = self.queue.try_update_value(next).flatten() {
            let loaded = load(&path).await;
            match loaded {
                Ok(loaded) => {
                    self.loaded.try_update_value(|all| all.insert(key, loaded));
                    // That another one cannot be read stays told.
                    if self.fault.try_with_untracked(|fault| *fault == Some(ApiError::Offline)) == Some(true)
                    {
                        self.fault.try_set(None);
                    }
                }
                Err(error) => {
                    // What cannot be read will not be so a moment later; a server may be there again.
                    let passes = error == ApiError::Offline;
                    if !passes || self.fault.try_with_untracked(Option::is_none) == Some(true) {
                        self.fault.try_set(Some(error));
                    }
                    if passes {
                        TimeoutFuture::new(AGAIN).await;
                        self.queue.try_update_value(|(wanted, _)| wanted.push_front((key, path)));
                        continue;
                    }
                }
            }
            self.progress.try_update(|(there, _)| *there += 1);
        }
    }

    /// Shows the smaller copy of a cutout to `draw`, if it is there.
    pub(super) fn picture<T>(
        self,
        subject: &SubjectId,
        photo: usize,
        draw: impl FnOnce(&HtmlCanvasElement) -> T,
    ) -> Option<T> {
        let key = (subject.clone(), photo);
        self.loaded.with_value(|loaded| loaded.get(&key).map(|loaded| draw(&loaded.picture)))
    }

    /// A cutout, or its small copy where it must be `quick`, in the width and height that `size` makes of its proportion, height by
    /// width. Of a large photo that takes a second: what was scaled last is kept, so that whoever only moves it waits no more.
    pub(super) fn scaled(
        self,
        subject: &SubjectId,
        photo: usize,
        quick: bool,
        size: impl FnOnce(f64) -> (u32, u32),
    ) -> Option<Rc<Cutout>> {
        let key = (subject.clone(), photo);
        self.loaded.with_value(|loaded| {
            let loaded = loaded.get(&key)?;
            let source = if quick { &loaded.small } else { &loaded.cutout };
            let (width, height) = size(f64::from(source.height()) / f64::from(source.width()));
            if quick {
                return Some(Rc::new(source.scaled(width, height)));
            }
            let is_it = |(known, piece): &&(Key, Rc<Cutout>)| {
                *known == key && (piece.width(), piece.height()) == (width, height)
            };
            let kept = self.kept.with_value(|kept| kept.iter().find(is_it).map(|(_, piece)| piece.clone()));
            Some(kept.unwrap_or_else(|| {
                let piece = Rc::new(source.scaled(width, height));
                self.kept.update_value(|kept| {
                    kept.truncate(KEPT - 1);
                    kept.push_front((key, piece.clone()));
                });
                piece
            }))
        })
    }
}

async fn load(path: &str) -> Answer<Loaded> {
    let mask = api::read_image(&format!("{path}/mask")).await?;
    let file = api::read_image(&format!("{path}/image")).await?;
    let fault = |error: CutoutError| ApiError::Unreadable(error.to_string());
    let mask = Mask::from_gray(decode_mask(&mask.value).await?);
    let area = mask.bounding_box().ok_or_else(|| fault(CutoutError::Empty { peak: mask.peak() }))?;
    // No more of the photo is read than is cut out.
    let photo = decode_photo(&file.value, mask.as_gray().dimensions(), area).await?;
    let cutout = Cutout::new(&photo, &mask.crop(area)).map_err(fault)?;
    let picture = picture(&cutout).map_err(|_| ApiError::Unreadable("no room for a picture".to_owned()))?;
    let small = shrunk(&cutout, QUICK);
    Ok(Loaded { cutout, small, picture })
}

/// A copy of a cutout whose longer side has at most `longest` pixels.
fn shrunk(cutout: &Cutout, longest: u32) -> Cutout {
    let longer = cutout.width().max(cutout.height());
    let scale = (f64::from(longest) / f64::from(longer)).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    cutout.scaled(side(cutout.width()), side(cutout.height()))
}

/// A copy of a cutout for the screen.
fn picture(cutout: &Cutout) -> Result<HtmlCanvasElement, JsValue> {
    let small = shrunk(cutout, DRAGGED);
    let pixels = small.image().pixels().zip(small.mask().as_gray().as_raw());
    let rgba: Vec<u8> = pixels.flat_map(|(color, &alpha)| [color[0], color[1], color[2], alpha]).collect();
    let canvas = canvas(small.width(), small.height())?;
    let data = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), small.width(), small.height())?;
    context(&canvas, false)?.put_image_data(&data, 0.0, 0.0)?;
    Ok(canvas)
}

/// The photos of a project by subject.
pub(super) async fn sources(project: &str) -> Answer<(Vec<SubjectSummary>, Sources)> {
    let subjects: mudi_domain::api::Page<SubjectSummary> = api::get(&format!("{project}/subjects")).await?;
    let photos: Vec<Photo> = api::list(&format!("{project}/photos")).await?;
    let mut sources = Sources::new();
    for photo in photos {
        sources.entry(photo.subject.clone()).or_default().insert(photo.number as usize, photo);
    }
    Ok((subjects.items, sources))
}
