//! Pictures of the server's latents, made by the worker: the server's own decoder waits until a picture is finished.

use std::cell::RefCell;
use std::rc::Rc;

use mudi_domain::api::{PreviewFile, PreviewModel};
use mudi_preview::fit::{self, Limits};
use mudi_preview::{LatentDecoder, Picture, PreviewError};
use wasm_bindgen_futures::spawn_local;

use super::device::{About, Device, of_processor};
use super::protocol::{LatentsAsk, LatentsTell};
use super::weights;

/// The part of the worker that decodes latents.
pub(super) struct Latents<D: Device> {
    desk: Rc<RefCell<Desk>>,
    kept: Rc<RefCell<Option<Opened<D::Engine>>>>,
}

impl<D: Device> Default for Latents<D> {
    fn default() -> Self {
        Self { desk: Rc::default(), kept: Rc::default() }
    }
}

/// What has been asked for and not been done yet.
#[derive(Default)]
struct Desk {
    open: Option<Source>,
    wanted: Option<Wanted>,
    working: bool,
}

/// Where the decoder comes from.
struct Source {
    project: String,
    model: PreviewModel,
    agreed: bool,
}

struct Wanted {
    number: u64,
    shape: [usize; 4],
    values: Vec<f32>,
}

type Opened<E> = (Source, LatentDecoder<E>);

impl<D: Device> Latents<D> {
    /// Puts what was asked on the desk, and sees to it that somebody works on it.
    pub(super) fn received(&self, ask: LatentsAsk, tell: impl Fn(LatentsTell) + 'static) {
        let mut desk = self.desk.borrow_mut();
        match ask {
            LatentsAsk::Open { project, model, agreed } => {
                desk.open = Some(Source { project, model, agreed });
            }
            LatentsAsk::Decode { number, shape, values } => {
                desk.wanted = Some(Wanted { number, shape, values });
            }
        }
        if !std::mem::replace(&mut desk.working, true) {
            spawn_local(work::<D>(self.desk.clone(), self.kept.clone(), tell));
        }
    }
}

/// Does what is on the desk until nothing is left.
async fn work<D: Device>(
    desk: Rc<RefCell<Desk>>,
    kept: Rc<RefCell<Option<Opened<D::Engine>>>>,
    tell: impl Fn(LatentsTell),
) {
    let (mut source, mut decoder) = kept.take().unzip();
    loop {
        // An engine that never waits would keep messages from coming in.
        gloo_timers::future::TimeoutFuture::new(0).await;
        let open = desk.borrow_mut().open.take();
        if open.is_some() {
            (source, decoder) = (open, None);
        }
        let Some(from) = &source else { break };
        if decoder.is_none() {
            match begin::<D>(from, &tell).await {
                Ok(made) => decoder = Some(made),
                Err(told) => {
                    tell(told);
                    source = None;
                    continue;
                }
            }
        }
        // Only now: while the decoder was loaded later ones have come.
        let wanted = {
            let mut desk = desk.borrow_mut();
            if desk.open.is_some() {
                continue;
            }
            desk.wanted.take()
        };
        let (Some(ready), Some(Wanted { number, shape, values })) = (&decoder, wanted) else { break };
        match ready.decode(&values, shape).await {
            Ok(pictures) => {
                let side = |side: fn(&Picture) -> usize| pictures.first().map_or(0, side) as u32;
                let (width, height) = (side(|picture| picture.width), side(|picture| picture.height));
                let pictures = pictures.into_iter().map(|picture| picture.pixels).collect();
                tell(LatentsTell::Decoded { number, width, height, pictures });
            }
            // The next ones are tried on a new device.
            Err(PreviewError::Network(error)) if D::is_lost(&error) => decoder = None,
            // Colours alone are shown then.
            Err(_) => tell(LatentsTell::Failed),
        }
    }
    kept.replace(source.zip(decoder));
    desk.borrow_mut().working = false;
}

/// Loads the decoder onto the device; what the page is told where that fails.
async fn begin<D: Device>(
    source: &Source,
    tell: &impl Fn(LatentsTell),
) -> Result<LatentDecoder<D::Engine>, LatentsTell> {
    let (engine, About { gpu, limits, .. }) = D::start().await.map_err(|_| LatentsTell::NoDevice)?;
    let Source { project, model, agreed } = source;
    let needed = |file: &&PreviewFile| LatentDecoder::<D::Engine>::needs(&file.name);
    let files: Vec<PreviewFile> = model.files.iter().filter(needed).cloned().collect();
    let fits = |limits: &Limits| fit::part(&files, &model.decoder, limits, 0).is_ok();
    if !fits(&limits) {
        let by_processor = gpu && fits(&of_processor());
        return Err(if by_processor { LatentsTell::NoDevice } else { LatentsTell::Failed });
    }
    if !agreed {
        let bytes = weights::not_here(&files).await;
        if bytes > fit::ASKED {
            return Err(LatentsTell::Large { bytes });
        }
    }
    let files = weights::of_preview(project, model, &files).await.map_err(|_| LatentsTell::Failed)?;
    let decoder = LatentDecoder::load(engine, files).map_err(|_| LatentsTell::Failed)?;
    tell(LatentsTell::Ready { gpu });
    Ok(decoder)
}
