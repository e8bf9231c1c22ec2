//! A tiny autoencoder (TAESD) in the place of a base's own.

use mudi_diffusion::Readable;
use mudi_engine_candle::CandleEngine;
use mudi_engine_wgpu::{Gpu, Settings, Storage, WgpuEngine};
use mudi_preview::{Canvas, Files, LatentDecoder, Model, Painter, TINY, Wish};
use mudi_tests::golden::fixture;
use mudi_tests::patience::finished;
use mudi_tests::pictures::psnr;

use super::{NEGATIVE, PROMPT, files, layout, wish};

/// As many levels as pocket's own has.
const LEVELS: usize = 3;

/// Pocket's files with one beside its own autoencoder, which is not sent.
fn with_tiny() -> Files {
    let mut files = files();
    files.retain(|name, _| !name.starts_with("vae/"));
    for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
        let file = std::fs::read(fixture("taesd-tiny/vae").join(name)).expect("a fixture");
        files.insert(format!("{TINY}/{name}"), file);
    }
    files
}

fn painted<E: Readable>(engine: E, wish: &Wish) -> Vec<u8> {
    let model = Model::load(&engine, with_tiny(), None).expect("its files");
    let mut painter = Painter::new(engine, model);
    let mut painting = painter.begin(wish.clone()).expect("a wish that can be fulfilled");
    let mut last = Vec::new();
    while !painting.done() {
        last = finished(painter.step(&mut painting)).expect("a step").pixels;
    }
    last
}

#[test]
fn it_paints_in_the_usual_ones_place() {
    let (side, latent) = (96, 96 >> (LEVELS - 1));
    let pixels = layout(side as u32, side as u32).0.into_raw();
    let canvas = Canvas { width: side, height: side, pixels, mask: vec![1.0; latent * latent] };
    let plain = wish(PROMPT, NEGATIVE, 2);
    let wished = Wish { canvas: Some(canvas), gamma: 1.5, ..plain.clone() };
    let on_processor = painted(CandleEngine::cpu(), &wished);
    assert_eq!(on_processor.len(), side * side * 3);
    let gpu = finished(Gpu::start()).expect("a GPU, or an emulated one (on Debian: mesa-vulkan-drivers)");
    let settings = Settings { storage: Storage::Single, ..Settings::for_adapter(&gpu.adapter) };
    let engine = WgpuEngine::new(gpu, settings).expect("every adapter stores it");
    let near = psnr(&painted(engine, &wished), &on_processor);
    assert!(near > 45.0, "{near:.1} dB");
    let other = psnr(&painted(CandleEngine::cpu(), &plain), &on_processor);
    assert!(other < 40.0, "the layout is encoded: {other:.1} dB");

    // The decoder alone, for the server's latents.
    let mut files = with_tiny();
    files.retain(|name, _| LatentDecoder::<CandleEngine>::needs(name));
    assert_eq!(files.len(), 2);
    let decoder = LatentDecoder::load(CandleEngine::cpu(), files).expect("its files");
    let pictures = finished(decoder.decode(&[0.5; 2 * 6 * 5 * 4], [2, 6, 5, 4])).expect("pictures");
    assert_eq!(pictures.len(), 2);
    assert_eq!([pictures[0].height, pictures[0].width], [6, 5].map(|length| length << (LEVELS - 1)));
}
