//! Everything that reads bytes from outside, as one function each: what `fuzz/` feeds, and what `tests/outside.rs` feeds
//! with [`seeds`] and damaged copies of them.
//!
//! Each says whether the bytes were accepted, and panics where something that must hold of accepted bytes does not.

pub mod seeds;

use std::cell::RefCell;
use std::path::Path;
use std::str::from_utf8;

use image::{Rgb, RgbImage};
use mudi::base::{Source, load_network};
use mudi::dataset::decode::{Decoded, decode};
use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::parse;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::taesd::TaesdConfig;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::vae::VaeConfig;
use mudi_diffusion::{Component, Engine, ParameterKind};
use mudi_domain::cutout::Cutout;
use mudi_domain::layout::Layout;
use mudi_domain::mask::Mask;
use mudi_domain::metadata::Metadata;
use mudi_domain::recipe::Recipe;
use mudi_engine_candle::lora::{Attachment, LoraFile};
use mudi_engine_candle::weights::{FileWeights, Precision, read_safetensors, to_safetensors};
use mudi_engine_candle::{CandleEngine, lora};

use crate::golden::{fixture, network};

/// A function of this module.
pub type Target = fn(&[u8]) -> bool;

/// All of them, by the name that they have in `fuzz/`.
pub const TARGETS: [(&str, Target); 10] = [
    ("image", image),
    ("mask", mask),
    ("metadata", metadata),
    ("layout", layout),
    ("recipe", recipe),
    ("config", config),
    ("weights", weights),
    ("pth", pth),
    ("tokenizer", tokenizer),
    ("checkpoint", checkpoint),
];

/// What separates the files of a tokenizer in one input.
const SEPARATOR: char = '\0';

/// An image of at most so many pixels; larger ones are right but slow.
fn small(bytes: &[u8]) -> Option<Decoded> {
    const MOST: u64 = 1 << 20;
    let decoded = decode(Path::new("input"), bytes).ok()?;
    let (width, height) = decoded.stored_size();
    (u64::from(width) * u64::from(height) <= MOST).then_some(decoded)
}

/// A photo: JPEG, PNG or WebP.
///
/// # Panics
/// Where the upright photo has not the size that was promised.
#[must_use]
pub fn image(bytes: &[u8]) -> bool {
    let Some(decoded) = small(bytes) else { return false };
    let promised = decoded.upright_size();
    assert_eq!(decoded.rgb().dimensions(), promised);
    true
}

/// A mask: an image, as coverage.
///
/// # Panics
/// Where its box is not the part that it covers.
#[must_use]
pub fn mask(bytes: &[u8]) -> bool {
    let Some(decoded) = small(bytes) else { return false };
    let mask = Mask::from_image(&decoded.upright());
    assert!((0.0..=1.0).contains(&mask.area_fraction()));
    assert!(mask.to_latent(7, 5).iter().all(|share| (0.0..=1.0).contains(share)));
    let Some(bounds) = mask.bounding_box() else {
        assert!(mask.is_empty());
        return true;
    };
    assert!(bounds.is_within(mask.width(), mask.height()));
    let cropped = mask.crop(bounds);
    assert_eq!((cropped.width(), cropped.height()), (bounds.width, bounds.height));
    assert!(!cropped.is_empty() && cropped.resize(3, 9).width() == 3);
    true
}

/// `metadata.jsonl`.
///
/// # Panics
/// Where it is not the same after it was written and read.
#[must_use]
pub fn metadata(bytes: &[u8]) -> bool {
    let Some(Ok(metadata)) = from_utf8(bytes).ok().map(Metadata::parse) else { return false };
    assert_eq!(Metadata::parse(&metadata.to_jsonl()).as_ref(), Ok(&metadata));
    true
}

/// A layout, drawn on a small canvas.
///
/// # Panics
/// Where it is not the same after it was written and read.
#[must_use]
pub fn layout(bytes: &[u8]) -> bool {
    const SIZE: u32 = 32;
    let Some(Ok(layout)) = from_utf8(bytes).ok().map(Layout::from_json) else { return false };
    assert_eq!(Layout::from_json(&layout.to_json()).as_ref(), Ok(&layout));
    let photo = RgbImage::from_pixel(5, 9, Rgb([200, 30, 30]));
    let cutout = Cutout::new(&photo, &Mask::full(5, 9)).expect("a whole photo is a cutout");
    if let Ok(collage) = layout.render((SIZE, SIZE), |_, _| Some(&cutout)) {
        assert_eq!(collage.image.dimensions(), (SIZE, SIZE));
    }
    true
}

/// A recipe.
///
/// # Panics
/// Where it is not the same after it was written and read, or what was read is not valid.
#[must_use]
pub fn recipe(bytes: &[u8]) -> bool {
    let Some(Ok(recipe)) = from_utf8(bytes).ok().map(Recipe::from_json) else { return false };
    recipe.validate().expect("what was read is valid");
    assert_eq!(Recipe::from_json(&recipe.to_json()).as_ref(), Ok(&recipe));
    true
}

/// `config.json` of a network, or `scheduler_config.json`.
#[must_use]
pub fn config(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else { return false };
    let (unet, vae) = (parse::<UNetConfig>(text), parse::<VaeConfig>(text));
    // What is refused is refused with words.
    let _ = (unet.as_ref().map(UNetConfig::check_base), vae.as_ref().map(VaeConfig::check));
    let _ = parse::<TaesdConfig>(text).map(|config| config.check());
    [unet.is_ok(), vae.is_ok(), parse::<ClipTextConfig>(text).is_ok(), NoiseSchedule::from_json(text).is_ok()]
        .contains(&true)
}

/// A safetensors file, as a LoRA and as the weights of a network.
///
/// # Panics
/// Where its tensors are not the same after they were written and read.
#[must_use]
pub fn weights(bytes: &[u8]) -> bool {
    thread_local! {
        // Making the network takes longer than everything else here.
        static UNET: RefCell<UNet<CandleEngine>> = RefCell::new(network(
            &CandleEngine::cpu(),
            "sdxl-tiny/unet",
            "diffusion_pytorch_model.safetensors",
            true,
            |config: UNetConfig, parameters| UNet::new(config, parameters),
        ));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).expect("a file");
    let Ok(tensors) = read_safetensors(&path) else { return false };
    UNET.with_borrow_mut(|unet| {
        // Most files are no LoRA.
        if let Ok(file) = LoraFile::read(&path)
            && let Ok(layers) = lora::layers(&unet.config, &[])
            && let Ok(found) = Attachment::new(file, &layers)
        {
            let _ = found.attach(Component::Unet, unet.adaptable());
        }
        lora::detach(unet.adaptable());
    });
    let _ = load_network(&CandleEngine::cpu(), folder.path(), Precision::Single, |parameters| {
        let text = std::fs::read_to_string(fixture("sdxl-tiny/unet/config.json")).expect("a fixture");
        UNet::new(parse(&text)?, parameters)
    });
    let again = to_safetensors(&tensors, None).expect("what was read can be written");
    std::fs::write(&path, again).expect("a file");
    let shapes = |tensors: &mudi_engine_candle::weights::NamedTensors| -> Vec<(String, Vec<usize>)> {
        tensors.iter().map(|(name, value)| (name.clone(), value.dims().to_vec())).collect()
    };
    assert_eq!(shapes(&tensors), shapes(&read_safetensors(&path).expect("what was written can be read")));
    true
}

/// A file of `torch.save`, with tensors called `a` to `e`.
///
/// # Panics
/// Where a tensor has not the shape that was promised.
#[must_use]
pub fn pth(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.pth");
    std::fs::write(&path, bytes).expect("a file");
    let engine = CandleEngine::cpu();
    let Ok(mut weights) = FileWeights::open(&engine, &path) else { return false };
    for name in ["a", "b", "c", "d", "e"] {
        let Some(shape) = weights.shape(name).map(<[usize]>::to_vec) else { continue };
        let tensor = weights.build(|source| source.get(name, &shape, ParameterKind::Embedding));
        if let Ok(tensor) = tensor {
            assert_eq!(engine.shape(&tensor), shape);
        }
    }
    true
}

/// The files of a tokenizer (`vocab.json`, `merges.txt`, `tokenizer_config.json`, `special_tokens_map.json`), a text
/// for it, and where there is one its `added_tokens.json`, with a zero byte between each. Without merges the first is a `tokenizer.json`.
///
/// # Panics
/// Where the ids of a text are not as many as was promised, or not of the vocabulary.
#[must_use]
pub fn tokenizer(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else { return false };
    let mut parts = text.split(SEPARATOR);
    let mut next = || parts.next().unwrap_or_default();
    let (vocab, merges, config, special, text) = (next(), next(), next(), next(), next());
    let added = next();
    let optional = |part| Some(part).filter(|part: &&str| !part.is_empty());
    let made = if merges.is_empty() {
        Tokenizer::files_of(vocab, optional(config), optional(special)).ok()
    } else {
        None
    };
    let (vocab, merges, config) = match &made {
        Some([vocab, merges, config]) => (vocab.as_str(), merges.as_str(), config.as_str()),
        None => (vocab, merges, config),
    };
    let made =
        Tokenizer::from_folder_json(vocab, merges, optional(config), optional(special), optional(added));
    let Ok(tokenizer) = made else { return false };
    if tokenizer.max_length() > 1 << 12 {
        return true;
    }
    let Ok(encoded) = tokenizer.encode(text) else { return true };
    assert_eq!(encoded.ids.len(), tokenizer.max_length());
    assert_eq!(encoded.ids[encoded.eos_position], tokenizer.end_id());
    let _ = tokenizer.decode(&encoded.ids);
    true
}

/// A checkpoint in one file.
///
/// # Panics
/// Where one that was accepted has no configurations.
#[must_use]
pub fn checkpoint(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).expect("a file");
    let Ok(source) = Source::open(&path) else { return false };
    assert!(source.unet_config().is_ok() && source.vae_config().is_ok());
    assert!(source.text_configs().is_ok_and(|text| !text.is_empty()));
    // Sizes that no network can have are errors as well.
    let _ = source.layers();
    true
}
