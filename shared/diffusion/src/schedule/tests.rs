//! Laws that hold whatever the network answers. Agreement with diffusers is tested in the `mudi-tests` crate.
use proptest::prelude::*;

use super::*;

fn schedule(change: impl FnOnce(&mut SchedulerConfig)) -> NoiseSchedule {
    let mut config = SchedulerConfig::stable_diffusion();
    change(&mut config);
    NoiseSchedule::new(config).unwrap()
}

fn kinds() -> impl Strategy<Value = (SamplerKind, bool)> {
    (prop::sample::select(&SamplerKind::ALL[..]), any::<bool>())
        .prop_map(|(kind, karras)| (kind, karras && kind.supports_karras()))
}

fn spacings() -> impl Strategy<Value = TimestepSpacing> {
    prop::sample::select(vec![TimestepSpacing::Leading, TimestepSpacing::Trailing, TimestepSpacing::Linspace])
}

fn predictions() -> impl Strategy<Value = PredictionType> {
    prop::sample::select(vec![PredictionType::Epsilon, PredictionType::VPrediction, PredictionType::Sample])
}

fn unit(size: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-2.5_f32..2.5, size)
}

/// Samples with a network that knows the clean latents, and answers by the schedule's prediction type.
fn sample_with_oracle(
    kind: SamplerKind,
    karras: bool,
    schedule: &NoiseSchedule,
    steps: usize,
    x0: &[f32],
    noise: &[f32],
) -> Vec<f32> {
    let mut sampler = Sampler::new(kind, schedule, steps, karras).unwrap();
    let zeros = vec![0.0; x0.len()];
    let mut x = mean_shifted_start(&zeros, 0.0, noise, &sampler).unwrap();
    for i in 0..steps {
        let mut input = x.clone();
        sampler.scale_model_input(&mut input, i).unwrap();
        // Karras timesteps of DPM-Solver++ are rounded, so take the noise level from the sampler itself.
        let ab = sampler.alpha_bar(i);
        let (signal, deviation) = (ab.sqrt(), (1.0 - ab).sqrt());
        let output: Vec<f32> = input
            .iter()
            .zip(x0)
            .map(|(x, x0)| {
                let (x, x0) = (f64::from(*x), f64::from(*x0));
                let epsilon = (x - signal * x0) / deviation;
                (match schedule.prediction_type() {
                    PredictionType::Epsilon => epsilon,
                    PredictionType::VPrediction => signal * epsilon - deviation * x0,
                    PredictionType::Sample => x0,
                }) as f32
            })
            .collect();
        sampler.step(i, &output, &mut x, sampler.needs_noise().then_some(noise)).unwrap();
    }
    x
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn an_oracle_is_followed_to_its_answer(
        (kind, karras) in kinds(), spacing in spacings(), prediction in predictions(),
        steps in 1_usize..40, x0 in unit(6), noise in unit(6),
    ) {
        // DDIM strides by whole timesteps, as in diffusers: unless the steps divide 1000 it stops short of the end.
        prop_assume!(kind != SamplerKind::Ddim || spacing != TimestepSpacing::Trailing || 1000 % steps == 0);
        let schedule = schedule(|c| {
            c.timestep_spacing = Some(spacing);
            c.prediction_type = prediction;
            c.set_alpha_to_one = true;
        });
        let found = sample_with_oracle(kind, karras, &schedule, steps, &x0, &noise);
        // In f32 the clean sample is lost in noise of sigma 160 (Karras starts there): 1e-7 x 160 x 2.5.
        prop_assert!(largest_difference(&found, &x0) < 2e-4, "{found:?} {x0:?}");
    }

    #[test]
    fn timesteps_fall_and_stay_inside((kind, karras) in kinds(), spacing in spacings(), steps in 1_usize..999) {
        let schedule = schedule(|c| c.timestep_spacing = Some(spacing));
        let sampler = Sampler::new(kind, &schedule, steps, karras).unwrap();
        prop_assert_eq!(sampler.timesteps().len(), steps);
        prop_assert!(sampler.timesteps().windows(2).all(|w| w[0] > w[1] || karras && w[0] >= w[1]));
        prop_assert!(sampler.timesteps().iter().all(|t| (0.0..1000.0).contains(t)));
    }

    #[test]
    fn gamma_zero_is_plain_sampling((kind, karras) in kinds(), z in unit(8), noise in unit(8), spacing in spacings()) {
        let schedule = schedule(|c| c.timestep_spacing = Some(spacing));
        let sampler = Sampler::new(kind, &schedule, 20, karras).unwrap();
        let start = mean_shifted_start(&z, 0.0, &noise, &sampler).unwrap();
        let plain: Vec<f32> = noise.iter().map(|x| x * sampler.init_noise_sigma()).collect();
        prop_assert_eq!(start, plain);
    }

    #[test]
    fn the_shift_is_the_same_in_both_views(z in unit(8), noise in unit(8), gamma in 0.0_f32..4.0) {
        let schedule = schedule(|_| {});
        let inputs: Vec<Vec<f32>> = [SamplerKind::Euler, SamplerKind::Ddim]
            .into_iter()
            .map(|kind| {
                let sampler = Sampler::new(kind, &schedule, 20, false).unwrap();
                let mut x = mean_shifted_start(&z, gamma, &noise, &sampler).unwrap();
                sampler.scale_model_input(&mut x, 0).unwrap();
                x
            })
            .collect();
        prop_assert!(largest_difference(&inputs[0], &inputs[1]) < 1e-5);
    }

    #[test]
    fn noise_and_velocity_give_back_the_clean_latents(x0 in unit(8), noise in unit(8), t in 0_usize..1000) {
        let schedule = NoiseSchedule::stable_diffusion();
        let noisy = schedule.add_noise(&x0, &noise, t).unwrap();
        let velocity = schedule.velocity(&x0, &noise, t).unwrap();
        let (signal, deviation) = schedule.coefficients(t).unwrap();
        let back: Vec<f32> = noisy.iter().zip(&velocity)
            .map(|(x, v)| (signal * f64::from(*x) - deviation * f64::from(*v)) as f32).collect();
        prop_assert!(largest_difference(&back, &x0) < 1e-5);
    }

    #[test]
    fn every_prediction_gives_back_the_clean_latents(x0 in unit(8), noise in unit(8), t in 0_usize..1000) {
        for prediction in [PredictionType::Epsilon, PredictionType::VPrediction, PredictionType::Sample] {
            let schedule = schedule(|config| config.prediction_type = prediction);
            let noisy = schedule.add_noise(&x0, &noise, t).unwrap();
            let target = schedule.target(&x0, &noise, t).unwrap();
            let (of_noisy, of_prediction) = prediction.clean(schedule.alphas_cumprod()[t]);
            let back: Vec<f32> = noisy.iter().zip(&target)
                .map(|(x, v)| (of_noisy * f64::from(*x) + of_prediction * f64::from(*v)) as f32).collect();
            // Noise is told from little signal by a division.
            prop_assert!(largest_difference(&back, &x0) < 1e-4);
        }
    }

    #[test]
    fn weights_count_clean_latents_alike_whatever_is_predicted(t in 0_usize..1000, gamma in 0.5_f64..20.0) {
        // An error of 1 in the clean latents is one of signal / deviation in the noise, and of 1 / deviation in the velocity.
        let weight = |prediction| {
            let schedule = schedule(|config| config.prediction_type = prediction);
            let (signal, deviation) = schedule.coefficients(t).unwrap();
            let error = match prediction {
                PredictionType::Epsilon => signal / deviation,
                PredictionType::VPrediction => 1.0 / deviation,
                PredictionType::Sample => 1.0,
            };
            let found = [schedule.min_snr_weight(t, gamma), schedule.debiased_weight(t)];
            (found.map(|weight| weight.unwrap() * error * error), (signal / deviation).powi(2))
        };
        for prediction in [PredictionType::Epsilon, PredictionType::VPrediction, PredictionType::Sample] {
            let ([min_snr, debiased], snr) = weight(prediction);
            prop_assert!((min_snr / snr.min(gamma) - 1.0).abs() < 1e-9);
            prop_assert!((debiased / snr.sqrt() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn elements_do_not_see_each_other((kind, karras) in kinds(), x in unit(6), out in unit(6), noise in unit(6)) {
        let schedule = NoiseSchedule::stable_diffusion();
        let step = |x: &[f32], out: &[f32], noise: &[f32]| {
            let mut sampler = Sampler::new(kind, &schedule, 5, karras).unwrap();
            let mut x = x.to_vec();
            for i in 0..2 {
                sampler.step(i, out, &mut x, Some(noise)).unwrap();
            }
            x
        };
        let together = step(&x, &out, &noise);
        let apart = [step(&x[..2], &out[..2], &noise[..2]), step(&x[2..], &out[2..], &noise[2..])].concat();
        prop_assert_eq!(together, apart);
    }

    #[test]
    fn guidance_interpolates(u in unit(5), c in unit(5), scale in -1.0_f32..12.0) {
        prop_assert_eq!(&guidance(&u, &c, 0.0).unwrap(), &u);
        prop_assert!(largest_difference(&guidance(&u, &c, 1.0).unwrap(), &c) < 1e-6);
        prop_assert_eq!(&guidance(&u, &u, scale).unwrap(), &u);
    }
}

#[test]
fn zero_terminal_snr_ends_in_pure_noise() {
    let zero = schedule(|c| {
        c.rescale_betas_zero_snr = true;
        c.prediction_type = PredictionType::VPrediction;
    });
    assert_eq!(zero.alphas_cumprod()[999], 0.0);
    assert!((zero.alphas_cumprod()[0] - schedule(|_| {}).alphas_cumprod()[0]).abs() < 1e-12);
    assert!(zero.sigma(999.0) > 4000.0 && zero.sigma(5000.0) == zero.sigma(999.0));
    let noise = zero.add_noise(&[1.0, 2.0], &[0.5, -0.25], 999).unwrap();
    assert_eq!(noise, [0.5, -0.25]);
    // A layout would not be seen, whose start is that of plain sampling.
    let trailing = schedule(|c| {
        c.rescale_betas_zero_snr = true;
        c.prediction_type = PredictionType::VPrediction;
        c.timestep_spacing = Some(TimestepSpacing::Trailing);
    });
    for kind in SamplerKind::ALL {
        let sampler = Sampler::new(kind, &trailing, 20, false).unwrap();
        let start = |gamma| mean_shifted_start(&[1.0], gamma, &[0.5], &sampler);
        assert!(start(0.0).is_ok() && matches!(start(2.0), Err(ScheduleError::NoSignal)), "{kind}");
    }
}

#[test]
fn mistakes_are_named() {
    let sd = NoiseSchedule::stable_diffusion();
    let new = |kind, steps, karras| Sampler::new(kind, &sd, steps, karras).map(|_| ());
    assert!(matches!(new(SamplerKind::Euler, 0, false), Err(ScheduleError::NoSteps)));
    assert!(matches!(
        // Leading spacing, shifted by steps_offset, would ask for timestep 1000.
        new(SamplerKind::Ddim, 1000, false),
        Err(ScheduleError::TooManySteps { limit: 999, .. })
    ));
    assert!(new(SamplerKind::Ddim, 999, false).is_ok());
    assert!(matches!(
        new(SamplerKind::DpmPp2m, 999, false),
        Err(ScheduleError::TooManySteps { limit: 998, .. })
    ));
    assert!(new(SamplerKind::DpmPp2m, 998, false).is_ok());
    assert!(matches!(new(SamplerKind::Ddim, 20, true), Err(ScheduleError::KarrasUnsupported(_))));
    assert!(matches!(sd.add_noise(&[0.0], &[0.0], 1000), Err(ScheduleError::TimestepOutOfRange { .. })));
    assert!(matches!(sd.add_noise(&[0.0], &[], 0), Err(ScheduleError::Length { .. })));
    assert!(matches!("heun".parse::<SamplerKind>(), Err(ScheduleError::UnknownSampler(_))));

    let clipped = schedule(|c| c.clip_sample = true);
    assert!(matches!(
        Sampler::new(SamplerKind::Ddim, &clipped, 20, false),
        Err(ScheduleError::Unsupported(_))
    ));
    let mut ancestral = Sampler::new(SamplerKind::EulerAncestral, &sd, 5, false).unwrap();
    assert!(matches!(ancestral.step(0, &[0.0], &mut [0.0], None), Err(ScheduleError::NoiseMissing(_))));
    let mut multistep = Sampler::new(SamplerKind::DpmPp2m, &sd, 5, false).unwrap();
    multistep.step(0, &[0.0], &mut [0.0], None).unwrap();
    assert!(matches!(
        multistep.step(2, &[0.0], &mut [0.0], None),
        Err(ScheduleError::StepOrder { expected: 1, found: 2 })
    ));
    assert!(matches!(multistep.step(5, &[0.0], &mut [0.0], None), Err(ScheduleError::StepOrder { .. })));
}

#[test]
fn configs_are_read_leniently_and_refused_by_name() {
    let config = SchedulerConfig::from_json(
        r#"{"_class_name": "DPMSolverMultistepScheduler", "beta_end": 0.012, "beta_start": 0.00085,
            "beta_schedule": "scaled_linear", "lambda_min_clipped": -Infinity, "use_karras_sigmas": null,
            "skip_prk_steps": true, "trained_betas": null, "prediction_type": "v_prediction"}"#,
    )
    .unwrap();
    assert_eq!(config.prediction_type, PredictionType::VPrediction);
    assert_eq!(config.timestep_spacing, None);
    assert_eq!(config.other["skip_prk_steps"], true);
    assert!(NoiseSchedule::new(config).is_ok());
    for refused in [
        r#"{"timestep_type": "continuous"}"#,
        r#"{"use_beta_sigmas": true}"#,
        r#"{"interpolation_type": "log_linear"}"#,
        r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#,
        // More than fits in any memory.
        r#"{"num_train_timesteps": 4611686018427387904}"#,
        r#"{"steps_offset": 18446744073709551615}"#,
    ] {
        assert!(matches!(NoiseSchedule::from_json(refused), Err(ScheduleError::Unsupported(_))), "{refused}");
    }
    let cure = NoiseSchedule::from_json(r#"{"use_exponential_sigmas": true}"#).unwrap_err().to_string();
    assert!(cure.contains("`use_exponential_sigmas`") && cure.contains("write `false`"), "{cure}");
    assert!(matches!(
        NoiseSchedule::from_json(r#"{"beta_schedule": "sigmoid"}"#),
        Err(ScheduleError::Config(_))
    ));
    assert!(matches!(
        NoiseSchedule::from_json(r#"{"trained_betas": [0.1, 1.5]}"#),
        Err(ScheduleError::InvalidSchedule(_))
    ));
    assert!(matches!(
        NoiseSchedule::from_json(r#"{"num_train_timesteps": 0}"#),
        Err(ScheduleError::InvalidSchedule(_))
    ));
}
