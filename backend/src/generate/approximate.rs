//! About what latents look like, without their decoder: a colour for each channel.

use mudi_domain::rng;

use crate::base::{Base, BaseError};
use crate::ridge::readout;

/// Side of the latents that the colours are learnt from.
const SIDE: usize = 16;
/// Side of the squares within which those latents hardly differ, as within things in pictures.
const PATCH: usize = 4;
/// How much they differ there.
const FINE: f32 = 0.3;

/// Red, green and blue, 0 to 1, of each channel of the base's latents, and at the end what is added. Its own decoder decodes a
/// small canvas of random patches; each latent's colour is regressed on its channels.
///
/// # Errors
/// Engine errors.
pub fn colours(base: &Base) -> Result<Vec<[f32; 3]>, BaseError> {
    let channels = base.vae.config.latent_channels;
    let mut stream = rng::stream(0, "colours", 0);
    let patches = rng::normal(&mut stream, (SIDE / PATCH) * (SIDE / PATCH) * channels);
    let fine = rng::normal(&mut stream, SIDE * SIDE * channels);
    let latents: Vec<f32> = (0..SIDE * SIDE * channels)
        .map(|at| {
            let (place, channel) = (at / channels, at % channels);
            let patch = place / SIDE / PATCH * (SIDE / PATCH) + place % SIDE / PATCH;
            patches[patch * channels + channel] + FINE * fine[at]
        })
        .collect();
    let pictures = base.decode_latents(&latents, [SIDE, SIDE])?;
    let Some(picture) = pictures.first() else { return Ok(vec![[0.0; 3]; channels + 1]) };
    let each = picture.width() as usize / SIDE;
    let mut wanted = vec![0f32; SIDE * SIDE * 3];
    for (x, y, pixel) in picture.enumerate_pixels() {
        let place = y as usize / each * SIDE + x as usize / each;
        for (sum, value) in wanted[3 * place..3 * place + 3].iter_mut().zip(pixel.0) {
            *sum += f32::from(value) / 255.0 / (each * each) as f32;
        }
    }
    let given: Vec<f32> =
        latents.chunks_exact(channels).flat_map(|v| v.iter().copied().chain([1.0])).collect();
    let found = readout(&given, channels + 1, &wanted, 3);
    Ok((0..=channels)
        .map(|channel| [0, 1, 2].map(|colour| found[colour * (channels + 1) + channel]))
        .collect())
}
