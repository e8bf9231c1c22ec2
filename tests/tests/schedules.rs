//! Noise schedules and samplers against diffusers' schedulers (`fixtures/generators/schedulers.py`).
use mudi_diffusion::schedule::{NoiseSchedule, Sampler, SamplerKind, SchedulerConfig, mean_shifted_start};
use mudi_tests::fixtures::{relative_difference, tensors, text};
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

#[test]
fn samplers_follow_diffusers() {
    let golden = tensors("schedulers.safetensors");
    let (start, bias, noise) = (&golden["start"].values, &golden["bias"].values, &golden["noise"].values);
    let size = start.len();
    let (mut worst, mut worst_timesteps, mut failures) = (0.0_f32, 0.0_f32, Vec::new());
    for (index, case) in cases().cases.into_iter().enumerate() {
        let name = format!("{index}: {case:?}");
        let schedule = NoiseSchedule::new(case.config).unwrap();
        let mut sampler = Sampler::new(case.sampler, &schedule, case.steps, case.karras).unwrap();
        let timesteps =
            relative_difference(sampler.timesteps(), &golden[&format!("{index}.timesteps")].values);
        let sigma = relative_difference(
            &[sampler.init_noise_sigma()],
            &golden[&format!("{index}.init_noise_sigma")].values,
        );
        let mut x: Vec<f32> = start.iter().map(|x| x * sampler.init_noise_sigma()).collect();
        let mut path = 0.0_f32;
        for i in 0..case.steps {
            let here = i * size..(i + 1) * size;
            let mut output = x.clone();
            sampler.scale_model_input(&mut output, i).unwrap();
            output.iter_mut().zip(&bias[here.clone()]).for_each(|(x, b)| *x = (*x + b).tanh());
            sampler.step(i, &output, &mut x, Some(&noise[here.clone()])).unwrap();
            path = path.max(relative_difference(&x, &golden[&format!("{index}.path")].values[here]));
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
    let golden = tensors("schedulers.safetensors");
    let schedule = NoiseSchedule::new(cases().schedule).unwrap();
    let found: Vec<f32> = schedule.alphas_cumprod().iter().map(|ab| *ab as f32).collect();
    let products = &golden["forward.alphas_cumprod"].values;
    let relative = found.iter().zip(products).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f32::max);
    println!("largest relative difference of a cumulative product: {relative:.1e}");
    assert!(relative < 1e-5);

    let (clean, noise) = (&golden["forward.clean"], &golden["forward.noise"]);
    let size = clean.shape[1];
    for (row, t) in golden["forward.timesteps"].values.iter().enumerate() {
        let here = row * size..(row + 1) * size;
        let (x0, eps, t) = (&clean.values[here.clone()], &noise.values[here.clone()], *t as usize);
        let noisy = schedule.add_noise(x0, eps, t).unwrap();
        let velocity = schedule.velocity(x0, eps, t).unwrap();
        assert!(relative_difference(&noisy, &golden["forward.noisy"].values[here.clone()]) < 1e-6);
        assert!(relative_difference(&velocity, &golden["forward.velocity"].values[here]) < 1e-6);
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
