//! Masks of clicks, made by the worker: the server embeds a photo once, the decoder runs here.

use std::cell::RefCell;
use std::rc::Rc;

use mudi_diffusion::{Engine, Readable, parse};
use mudi_domain::api::{MaskPrompt, SegmenterModel};
use mudi_preview::SafetensorsWeights;
use mudi_vision::sam::{Fit, Prompt, SamConfig, SamDecoder, embedding, mask};
use wasm_bindgen_futures::spawn_local;

use super::device::{About, Device};
use super::protocol::{ClickAsk, ClickTell};
use super::weights;
use crate::runs::Runs;

/// The longer side of a mask that follows the pointer, in pixels: as much as is seen of it.
const GLIMPSE: usize = 512;
/// How often in a row a device may be lost.
const PATIENCE: u32 = 3;

/// The part of the worker that answers clicks.
pub(super) struct Clicks<D: Device> {
    desk: Rc<RefCell<Desk>>,
    opened: Rc<RefCell<Option<Opened<D::Engine>>>>,
}

impl<D: Device> Default for Clicks<D> {
    fn default() -> Self {
        Self { desk: Rc::default(), opened: Rc::default() }
    }
}

/// What has been asked for and not been done yet.
#[derive(Default)]
struct Desk {
    open: Option<Photo>,
    look: Option<Question>,
    click: Option<Question>,
    lose: bool,
    working: bool,
}

/// A photo, and the segmenter that sees it.
#[derive(Clone)]
struct Photo {
    project: String,
    model: SegmenterModel,
    path: String,
    /// Height and width, in pixels.
    size: [usize; 2],
}

/// A prompt to be answered.
struct Question {
    number: u64,
    prompt: MaskPrompt,
    /// Whether the mask has the photo's size.
    whole: bool,
}

/// A photo that masks can be made of.
struct Seen<E: Readable> {
    engine: E,
    decoder: SamDecoder<E>,
    embedding: E::Tensor,
    fit: Fit,
}

type Opened<E> = (Photo, Seen<E>);

impl<D: Device> Clicks<D> {
    /// Puts what was asked on the desk, and sees to it that somebody works on it.
    pub(super) fn received(&self, ask: ClickAsk, tell: impl Fn(ClickTell) + 'static) {
        let mut desk = self.desk.borrow_mut();
        match ask {
            ClickAsk::Open { project, model, photo, width, height } => {
                let size = [height as usize, width as usize];
                let open = Some(Photo { project, model, path: photo, size });
                *desk = Desk { open, working: desk.working, ..Desk::default() };
            }
            ClickAsk::Look { number, prompt } => desk.look = Some(Question { number, prompt, whole: false }),
            ClickAsk::Click { number, prompt } => desk.click = Some(Question { number, prompt, whole: true }),
            ClickAsk::LoseDevice => desk.lose = true,
        }
        if !std::mem::replace(&mut desk.working, true) {
            spawn_local(work::<D>(self.desk.clone(), self.opened.clone(), tell));
        }
    }
}

/// Does what is on the desk until nothing is left.
async fn work<D: Device>(
    desk: Rc<RefCell<Desk>>,
    kept: Rc<RefCell<Option<Opened<D::Engine>>>>,
    tell: impl Fn(ClickTell),
) {
    let (mut photo, mut seen) = kept.take().unzip();
    let mut lost = 0;
    loop {
        // An engine that never waits would keep messages from coming in.
        gloo_timers::future::TimeoutFuture::new(0).await;
        let (open, lose) = {
            let mut desk = desk.borrow_mut();
            (desk.open.take(), std::mem::take(&mut desk.lose))
        };
        if open.is_some() {
            // The old one's memory first.
            (photo, seen) = (open, None);
        }
        if lose && let Some(seen) = &seen {
            D::lose(&seen.engine);
        }
        let Some(opening) = &photo else { break };
        if seen.is_none() {
            match begin::<D>(opening, &tell).await {
                Ok(made) => seen = Some(made),
                Err(failed) => {
                    tell(failed);
                    photo = None;
                    continue;
                }
            }
        }
        // Only now: whoever clicks while the decoder is loaded waits for the answer.
        let question = {
            let mut desk = desk.borrow_mut();
            if desk.open.is_some() || desk.lose {
                continue;
            }
            desk.click.take().or_else(|| desk.look.take())
        };
        let (Some(ready), Some(question)) = (&seen, question) else { break };
        match ready.answer(&question).await {
            Ok(told) => {
                tell(told);
                lost = 0;
            }
            Err(error) if lost < PATIENCE && D::is_lost(&error) => {
                lost += 1;
                tell(ClickTell::Lost);
                seen = None;
                let mut desk = desk.borrow_mut();
                let place = if question.whole { &mut desk.click } else { &mut desk.look };
                // Unless something else is asked by now.
                place.get_or_insert(question);
            }
            Err(error) => tell(ClickTell::Failed { reason: error.to_string() }),
        }
    }
    kept.replace(photo.zip(seen));
    desk.borrow_mut().working = false;
}

/// Loads the decoder onto the device, and the photo's embedding; what the page is told where that fails.
async fn begin<D: Device>(photo: &Photo, tell: &impl Fn(ClickTell)) -> Result<Seen<D::Engine>, ClickTell> {
    let failed = |reason: String| ClickTell::Failed { reason };
    let network = |error: mudi_diffusion::Error| failed(error.to_string());
    // Before anything is loaded: without a device there is no use for it.
    let (engine, About { device, gpu, emulated, .. }) =
        D::start().await.map_err(|reason| ClickTell::NoDevice { reason })?;
    let files = weights::of_segmenter(&photo.project, &photo.model, |received, total| {
        tell(ClickTell::Loading { received, total });
    })
    .await
    .map_err(failed)?;
    let file = |name: &str| {
        files.get(name).map(Vec::as_slice).ok_or_else(|| failed(format!("the segmenter has no `{name}`")))
    };
    let config = String::from_utf8_lossy(file("config.json")?);
    let config: SamConfig = parse(&config).map_err(network)?;
    const WEIGHTS: &str = "model.safetensors";
    let mut source = SafetensorsWeights::new(&engine, WEIGHTS, file(WEIGHTS)?)
        .map_err(|error| failed(error.to_string()))?;
    let decoder = SamDecoder::new(&engine, &config, &mut source).map_err(network)?;
    tell(ClickTell::Seeing);
    let bytes = weights::fetched(&format!("{}/embedding", photo.path)).await.map_err(failed)?;
    let shape = decoder.embedding_shape();
    let values = embedding::from_bytes(&bytes, shape.iter().product())
        .ok_or_else(|| failed("the photo's embedding is not one of this segmenter".to_owned()))?;
    let embedding = engine.from_slice(&values, &shape).map_err(network)?;
    let fit = Fit { size: photo.size, image_size: decoder.image_size() };
    let seen = Seen { engine, decoder, embedding, fit };
    // The first answer compiles the kernels: nobody waits for that at the pointer.
    let middle = photo.size.map(|length| length as f32 / 2.0);
    let points = vec![mudi_domain::api::MaskPoint { x: middle[1], y: middle[0], on_subject: true }];
    let prompt = MaskPrompt { points, bounds: None };
    seen.answer(&Question { number: 0, prompt, whole: false }).await.map_err(network)?;
    tell(ClickTell::Ready { device, gpu, emulated });
    Ok(seen)
}

impl<E: Readable> Seen<E> {
    async fn answer(&self, question: &Question) -> mudi_diffusion::Result<ClickTell> {
        let begun = js_sys::Date::now();
        let prompt = self.fit.prompt(&Prompt::from(&question.prompt));
        let best = self.decoder.best(&self.engine, &self.embedding, &prompt).await?;
        let longest = GLIMPSE.min(self.fit.size[0].max(self.fit.size[1]));
        let size = if question.whole { self.fit.size } else { mask::fitted(self.fit.size, longest) };
        let side = self.decoder.mask_size();
        let coverage = mask::cover(&best.logits, side, self.decoder.image_size(), size);
        let found = Runs::of(size[1] as u32, size[0] as u32, &coverage).filter(|runs| !runs.is_black());
        let (number, milliseconds) = (question.number, js_sys::Date::now() - begun);
        Ok(if question.whole {
            ClickTell::Found { number, mask: found, milliseconds }
        } else {
            ClickTell::Looked { number, mask: found, milliseconds }
        })
    }
}
