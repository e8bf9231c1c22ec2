//! Which timesteps and noise levels a sampler visits.
use super::noise::interpolate;
use super::{BetaSchedule, FinalSigma, NoiseSchedule, SamplerKind, ScheduleError, TimestepSpacing};

/// The exponent of Karras et al. 2022, equation 5.
const KARRAS_RHO: f64 = 7.0;

/// The spacing that a sampler uses: the config's, or its class's default in diffusers.
pub(super) fn spacing(kind: SamplerKind, schedule: &NoiseSchedule) -> TimestepSpacing {
    schedule.config().timestep_spacing.unwrap_or(match kind {
        SamplerKind::Ddim => TimestepSpacing::Leading,
        _ => TimestepSpacing::Linspace,
    })
}

/// The sampler's timesteps, falling.
///
/// DDIM and DPM-Solver++ have whole timesteps, Euler's linspace does not round. DPM-Solver++ places one timestep
/// more and leaves out the last, except with trailing spacing.
pub(super) fn timesteps(
    kind: SamplerKind,
    schedule: &NoiseSchedule,
    steps: usize,
) -> Result<Vec<f64>, ScheduleError> {
    let train = schedule.num_train_timesteps();
    let multistep = kind == SamplerKind::DpmPp2m;
    let spacing = spacing(kind, schedule);
    // With leading spacing all timesteps are moved up by the offset, and as many do not fit.
    let offset = if spacing == TimestepSpacing::Leading { schedule.config().steps_offset } else { 0 };
    let limit = train.saturating_sub(offset + usize::from(multistep));
    match steps {
        0 => return Err(ScheduleError::NoSteps),
        _ if steps > limit => return Err(ScheduleError::TooManySteps { steps, limit, train }),
        _ => {}
    }
    let placed = if multistep { steps + 1 } else { steps };
    let dropped = placed - steps;
    let found: Vec<f64> = match spacing {
        TimestepSpacing::Linspace => {
            let gaps = (placed - 1).max(1);
            let whole = kind == SamplerKind::Ddim || multistep;
            (dropped..placed)
                .rev()
                .map(|i| (i * (train - 1)) as f64 / gaps as f64)
                .map(|t| if whole { t.round_ties_even() } else { t })
                .collect()
        }
        TimestepSpacing::Leading => {
            let stride = train / placed;
            (dropped..placed).rev().map(|i| (i * stride + offset) as f64).collect()
        }
        TimestepSpacing::Trailing => {
            let stride = train as f64 / steps as f64;
            (0..steps).map(|i| (train as f64 - i as f64 * stride).round_ties_even() - 1.0).collect()
        }
    };
    match found.first() {
        Some(first) if *first > (train - 1) as f64 => {
            Err(ScheduleError::TimestepOutOfRange { timestep: *first as usize, train })
        }
        _ => Ok(found),
    }
}

/// The noise levels at the timesteps, then the level at the end: one more than there are timesteps. With Karras
/// spacing the levels come first and the timesteps are set to where the schedule reaches them.
pub(super) fn sigmas(
    kind: SamplerKind,
    schedule: &NoiseSchedule,
    karras: bool,
    timesteps: &mut [f64],
) -> Vec<f64> {
    let config = schedule.config();
    let table = schedule.sigmas();
    let mut levels: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, *t)).collect();
    if karras {
        let (largest, smallest) = if kind == SamplerKind::DpmPp2m {
            (table[table.len() - 1], table[0])
        } else {
            (levels[0], levels[levels.len() - 1])
        };
        let (largest, smallest) = (config.sigma_max.unwrap_or(largest), config.sigma_min.unwrap_or(smallest));
        levels = karras_levels(largest, smallest, levels.len());
        for (t, sigma) in timesteps.iter_mut().zip(&levels) {
            *t = timestep_of(&table, *sigma);
            if kind == SamplerKind::DpmPp2m {
                let rounded = config.beta_schedule != BetaSchedule::SquaredcosCapV2;
                *t = if rounded { t.round_ties_even() } else { t.trunc() };
            }
        }
    }
    levels.push(match config.final_sigmas_type {
        // Euler ancestral has no such option in diffusers: it always ends at 0.
        FinalSigma::SigmaMin if kind != SamplerKind::EulerAncestral => table[0],
        _ => 0.0,
    });
    levels.iter().map(|sigma| f64::from(*sigma as f32)).collect()
}

/// Levels whose 7th roots are evenly spaced (Karras et al. 2022, equation 5).
fn karras_levels(largest: f64, smallest: f64, steps: usize) -> Vec<f64> {
    let (from, to) = (largest.powf(1.0 / KARRAS_RHO), smallest.powf(1.0 / KARRAS_RHO));
    let gap = (to - from) / (steps - 1).max(1) as f64;
    (0..steps).map(|i| (from + i as f64 * gap).powf(KARRAS_RHO)).collect()
}

/// The timestep, between training timesteps, at which the rising table has this sigma; linear in its logarithm.
fn timestep_of(table: &[f64], sigma: f64) -> f64 {
    let wanted = sigma.max(1e-10).ln();
    let above = table.partition_point(|entry| entry.ln() <= wanted);
    let low = above.saturating_sub(1).min(table.len().saturating_sub(2));
    let high = (low + 1).min(table.len() - 1);
    let (from, to) = (table[low].ln(), table[high].ln());
    let weight = if to > from { ((wanted - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
    low as f64 + weight
}
