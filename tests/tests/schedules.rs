//! Noise schedules and samplers against diffusers' schedulers (`fixtures/generators/schedulers.py`).

use std::collections::BTreeMap;

use mudi_diffusion::schedule::{NoiseSchedule, Sampler, SamplerKind, SchedulerConfig, mean_shifted_start};
use mudi_tests::fixtures::text;
use mudi_tests::golden::{relative_difference, tensors, values};
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    schedule: SchedulerConfig,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    sampler: SamplerKind,
    steps: usize,
    karras: bool,
    config: SchedulerConfig,
}

fn cases() -> Cases {
    serde_json::from_str(&text("schedulers.json")).expect("schedulers.json is a list of cases")
}

fn golden() -> BTreeMap<String, Vec<f32>> {
    tensors("schedulers.safetensors").iter().map(|(name, tensor)| (name.clone(), values(tensor))).collect()
}

#[test]
fn samplers_follow_diffusers() {
    let golden = golden();
    let (start, bias, noise) = (&golden["start"], &golden["bias"], &golden["noise"]);
    let size = start.len();
    let (mut worst, mut worst_timesteps, mut failures) = (0.0_f32, 0.0_f32, Vec::new());
    for (index, case) in cases().cases.into_iter().enumerate() {
        let name = format!("{index}: {case:?}");
        let schedule = NoiseSchedule::new(case.config).unwrap();
        let mut sampler = Sampler::new(case.sampler, &schedule, case.steps, case.karras).unwrap();
        let timesteps = relative_difference(sampler.timesteps(), &golden[&format!("{index}.timesteps")]);
        let sigma =
            relative_difference(&[sampler.init_noise_sigma()], &golden[&format!("{index}.init_noise_sigma")]);
        let mut x: Vec<f32> = start.iter().map(|x| x * sampler.init_noise_sigma()).collect();
        let mut path = 0.0_f32;
        for i in 0..case.steps {
            let here = i * size..(i + 1) * size;
            let mut output = x.clone();
            sampler.scale_model_input(&mut output, i).unwrap();
            output.iter_mut().zip(&bias[here.clone()]).for_each(|(x, b)| *x = (*x + b).tanh());
            sampler.step(i, &output, &mut x, Some(&noise[here.clone()])).unwrap();
            path = path.max(relative_difference(&x, &golden[&format!("{index}.path")][here]));
        }
        worst = worst.max(path);
        worst_timesteps = worst_timesteps.max(timesteps);
        if timesteps.max(sigma).max(path) > 1e-4 {
            failures.push(format!("timesteps {timesteps:.1e} sigma {sigma:.1e} path {path:.1e} in {name}"));
        }
    }
    println!("largest relative differences: trajectories {worst:.1e}, timesteps {worst_timesteps:.1e}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_forward_process_is_that_of_diffusers() {
    let golden = golden();
    let schedule = NoiseSchedule::new(cases().schedule).unwrap();
    let found: Vec<f32> = schedule.alphas_cumprod().iter().map(|ab| *ab as f32).collect();
    let products = &golden["forward.alphas_cumprod"];
    let relative = found.iter().zip(products).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f32::max);
    println!("largest relative difference of a cumulative product: {relative:.1e}");
    assert!(relative < 1e-5);

    let (clean, noise) = (&golden["forward.clean"], &golden["forward.noise"]);
    let timesteps = &golden["forward.timesteps"];
    let size = clean.len() / timesteps.len();
    for (row, t) in timesteps.iter().enumerate() {
        let here = row * size..(row + 1) * size;
        let (x0, eps, t) = (&clean[here.clone()], &noise[here.clone()], *t as usize);
        let noisy = schedule.add_noise(x0, eps, t).unwrap();
        let velocity = schedule.velocity(x0, eps, t).unwrap();
        assert!(relative_difference(&noisy, &golden["forward.noisy"][here.clone()]) < 1e-6);
        assert!(relative_difference(&velocity, &golden["forward.velocity"][here]) < 1e-6);
    }
}

/// With gamma 1 the network is shown what the forward process itself would leave of the collage at the first timestep, and with another
/// gamma so many times as much (MuDI, section 4.2).
#[test]
fn a_start_is_shifted_by_what_the_forward_process_leaves() {
    let schedule = NoiseSchedule::new(cases().schedule).unwrap();
    let (collage, noise) = ([0.9, -0.4, 0.0, 1.7], [0.3, -1.1, 0.8, 0.0]);
    for kind in SamplerKind::ALL {
        let sampler = Sampler::new(kind, &schedule, 20, false).unwrap();
        let shown = |gamma: f32| {
            let mut start = mean_shifted_start(&collage, gamma, &noise, &sampler).unwrap();
            sampler.scale_model_input(&mut start, 0).unwrap();
            start
        };
        let left = schedule.add_noise(&collage, &[0.0; 4], sampler.timesteps()[0] as usize).unwrap();
        assert!(left[0] > 0.01, "{left:?}");
        let plain = shown(0.0);
        for gamma in [1.0, 2.0, 3.0] {
            for ((shown, plain), left) in shown(gamma).iter().zip(&plain).zip(&left) {
                assert!(
                    (shown - plain - gamma * left).abs() < 1e-4,
                    "{kind}, {gamma}: {shown}, {plain}, {left}"
                );
            }
        }
    }
}

/// A base's own wish for Karras' spacing is followed by the samplers that have it, unless somebody asks for something else. The numbers
/// are those of diffusers' formulas (`set_timesteps`, `_convert_to_karras`, `_sigma_to_t`), computed apart from this program.
#[test]
fn a_base_that_wishes_for_karras_spacing_gets_it() {
    // As SDXL's, with what people add.
    const BASE: &str = r#""_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
        "beta_end": 0.012, "use_karras_sigmas": true, "algorithm_type": "dpmsolver++", "interpolation_type": "linear""#;
    let schedule = |fields: &str| NoiseSchedule::from_json(&format!("{{{BASE}{fields}}}")).unwrap();
    let (leading, plain) = (r#", "timestep_spacing": "leading", "steps_offset": 1"#, "");
    let bounds =
        r#", "timestep_spacing": "leading", "steps_offset": 1, "sigma_min": 0.03, "sigma_max": 12.0"#;
    let (euler, dpm) = (SamplerKind::Euler, SamplerKind::DpmPp2m);
    for (kind, fields, sigmas, timesteps) in [
        (euler, leading, [5.1344, 2.0248, 0.6922, 0.1947, 0.0413], [801.0, 565.83, 248.593, 38.423, 1.0]),
        (euler, plain, [14.6147, 4.7965, 1.2741, 0.248, 0.0292], [999.0, 785.954, 427.49, 58.892, 0.0]),
        (euler, bounds, [12.0, 4.0484, 1.118, 0.2308, 0.03], [965.744, 747.075, 387.618, 52.031, 0.081]),
        (dpm, leading, [14.6147, 4.7965, 1.2741, 0.248, 0.0292], [999.0, 786.0, 427.0, 59.0, 0.0]),
        (dpm, bounds, [12.0, 4.0484, 1.118, 0.2308, 0.03], [966.0, 747.0, 388.0, 52.0, 0.0]),
    ] {
        let schedule = schedule(fields);
        let sampler = Sampler::new(kind, &schedule, 5, schedule.karras(kind, None)).unwrap();
        for (found, expected) in sampler.timesteps().iter().zip(timesteps) {
            assert!((found - expected).abs() < 0.02, "{kind}{fields}: {:?}", sampler.timesteps());
        }
        for (step, expected) in sigmas.into_iter().enumerate().filter(|_| kind == euler) {
            let mut one = [1.0_f32];
            sampler.scale_model_input(&mut one, step).unwrap();
            let sigma = (one[0].powi(-2) - 1.0).sqrt();
            assert!((sigma / expected - 1.0).abs() < 0.01, "{kind}{fields}: {sigma} is not {expected}");
        }
    }
    let (wishing, indifferent) = (schedule(leading), NoiseSchedule::stable_diffusion());
    for kind in SamplerKind::ALL {
        assert_eq!(wishing.karras(kind, None), kind.supports_karras(), "{kind}");
        assert!(!wishing.karras(kind, Some(false)) && !indifferent.karras(kind, None), "{kind}");
        assert!(indifferent.karras(kind, Some(true)), "{kind}");
    }
}

#[test]
fn every_base_folder_has_a_schedule_that_loads() {
    for base in ["sdxl-tiny", "sd15-tiny", "sd21-tiny"] {
        let config = text(&format!("{base}/scheduler/scheduler_config.json"));
        let schedule = NoiseSchedule::from_json(&config).unwrap();
        for kind in SamplerKind::ALL {
            assert!(Sampler::new(kind, &schedule, 25, kind.supports_karras()).is_ok(), "{base} {kind}");
        }
    }
}
