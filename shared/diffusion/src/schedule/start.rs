//! Where sampling starts, and classifier-free guidance.
use super::error::same_length;
use super::{Sampler, ScheduleError};

/// The share of a picture that must be left at the first timestep for a layout to be seen. SDXL's last has 0.068; a schedule with zero
/// terminal SNR, sampled from its end, has none.
const LEAST_SIGNAL: f64 = 0.01;

/// MuDI's mean-shifted start (paper, section 4.2 and algorithm 2): noise whose mean is a collage of the subjects.
///
/// `z_init` are the encoded collage's latents, already multiplied by its mask resized to latent size and by the
/// VAE's scaling factor; `noise` is unit normal, of the same length. `gamma` is the strength: 0 is plain sampling,
/// 1 what the forward process itself would leave of the collage, 2 suits two or three subjects, 3 more; above 4
/// images saturate.
///
/// In the view of Euler, where latents are `x_0 + sigma noise`, it is `gamma z_init + init_noise_sigma noise`. In
/// the variance-preserving view of DDIM and DPM-Solver++ it is `sqrt(ab) gamma z_init + noise`, with `ab` at the
/// sampler's first timestep, which is the one whose noise the network will be told it sees: so both views
/// show the network the same collage. (The forward process would scale the noise by `sqrt(1 - ab)`, 0.998 for
/// SDXL's last timestep. Plain sampling does not, and `gamma = 0` must be plain sampling exactly.)
///
/// # Errors
/// [`ScheduleError::Length`] if the two differ in length; [`ScheduleError::NoSignal`] where nothing of the collage would be seen.
pub fn mean_shifted_start(
    z_init: &[f32],
    gamma: f32,
    noise: &[f32],
    sampler: &Sampler,
) -> Result<Vec<f32>, ScheduleError> {
    same_length("z_init", noise.len(), z_init.len())?;
    if gamma != 0.0 && sampler.alpha_bar(0).sqrt() < LEAST_SIGNAL {
        return Err(ScheduleError::NoSignal);
    }
    let shift = f64::from(gamma) * f64::from(sampler.init_signal());
    let deviation = f64::from(sampler.init_noise_sigma());
    Ok(z_init
        .iter()
        .zip(noise)
        .map(|(z, epsilon)| (shift * f64::from(*z) + deviation * f64::from(*epsilon)) as f32)
        .collect())
}

/// Classifier-free guidance (Ho and Salimans 2022): `uncond + scale (cond - uncond)`. Scale 1 is `cond`, 0 `uncond`;
/// 5 to 7.5 are usual.
///
/// # Errors
/// [`ScheduleError::Length`] if the two differ in length.
pub fn guidance(uncond: &[f32], cond: &[f32], scale: f32) -> Result<Vec<f32>, ScheduleError> {
    same_length("cond", uncond.len(), cond.len())?;
    let scale = f64::from(scale);
    Ok(uncond
        .iter()
        .zip(cond)
        .map(|(u, c)| (f64::from(*u) + scale * (f64::from(*c) - f64::from(*u))) as f32)
        .collect())
}
