use proptest::prelude::*;

use super::*;

#[test]
fn the_table_and_the_struct_agree() {
    let recipe = Recipe::default();
    assert_eq!(recipe.validate(), Ok(()));
    for (index, parameter) in PARAMETERS.iter().enumerate() {
        assert_eq!(parameter.kind.check(parameter.default), Ok(()), "{}", parameter.name);
        assert_eq!(recipe.get(parameter.name).unwrap(), parameter.default, "{}", parameter.name);
        assert!(PARAMETERS[..index].iter().all(|other| other.name != parameter.name));
        assert!(parameter.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        assert!(parameter.help.ends_with('.'), "{}", parameter.name);
    }
    assert_eq!(Recipe::parameter("learning-rate").unwrap().env(), "MUDI_LEARNING_RATE");
}

#[test]
fn the_defaults_are_the_papers() {
    let recipe = Recipe::default();
    assert_eq!(recipe.method, Method::Mudi);
    assert_eq!((recipe.rank, recipe.alpha, recipe.learning_rate), (32, 32.0, 1e-4));
    assert_eq!((recipe.beta1, recipe.beta2, recipe.epsilon), (0.9, 0.999, 1e-8));
    assert_eq!(recipe.targets, ["to_q", "to_k", "to_v", "to_out.0"]);
    assert_eq!(recipe.collage_probability(), 0.3);
    assert_eq!(crate::segmix::Options::from(&recipe), crate::segmix::Options::default());
}

#[test]
fn the_pocket_models_recipe_can_be_trained() {
    let recipe = Recipe::for_pocket(600, 2);
    assert_eq!(recipe.validate(), Ok(()));
    assert_eq!(recipe.steps, 600);
    assert!(Recipe::default().targets.iter().all(|target| recipe.targets.contains(target)));
    assert!(Recipe::for_pocket(600, 3).resolution > recipe.resolution);
}

#[test]
fn collages_show_as_many_as_their_captions_can_name() {
    let most = [0, 1, 2, 3, 5, 6, 7, 8, 11, 13, 14, 50].map(Recipe::most_encodable);
    assert_eq!(most, [2, 2, 2, 3, 5, 3, 3, 3, 2, 2, 2, 2]);
    for subjects in 2..20 {
        let recipe = Recipe::for_pocket(600, subjects);
        assert_eq!(recipe.validate(), Ok(()));
        assert_eq!(recipe.most_together(subjects), Recipe::most_encodable(subjects));
        assert_eq!(Recipe { method: Method::Cutmix, ..recipe }.most_together(subjects), 2);
    }
    // The paper's recipe shows pairs.
    assert_eq!(Recipe::default().most_together(5), 2);
}

#[test]
fn more_than_three_subjects_see_more_collages() {
    let share = |share, subjects| {
        Recipe { segmix_probability: share, ..Recipe::default() }.for_subjects(subjects).segmix_probability
    };
    assert_eq!(
        [0, 1, 2, 3, 4, 8].map(|subjects| share(0.3, subjects)),
        [0.3, 0.3, 0.3, 0.3, CROWDED, CROWDED]
    );
    assert_eq!(share(0.9, 4), 0.9);
}

#[test]
fn values_are_set_by_name() {
    let mut recipe = Recipe::default();
    recipe.set("learning_rate", " 2e-5 ").unwrap();
    recipe.set("method", "dreambooth").unwrap();
    recipe.set("sample-prompts", "A cat, sitting. | A dog|").unwrap();
    recipe.set("relative-sizes", "a=1, b=0.6").unwrap();
    assert_eq!(recipe.learning_rate, 2e-5);
    assert_eq!(recipe.collage_probability(), 0.0);
    assert_eq!(recipe.sample_prompts, ["A cat, sitting.", "A dog"]);
    assert_eq!(recipe.get("relative-sizes").unwrap(), "a=1.0,b=0.6");
    assert_eq!(Recipe::from_json(&recipe.to_json()).unwrap(), recipe);
}

#[test]
fn faults_name_the_parameter_and_the_cure() {
    let mut recipe = Recipe::default();
    let mut fault = |name: &str, value: &str| recipe.set(name, value).unwrap_err().to_string();
    assert_eq!(
        fault("learnig-rate", "1"),
        "there is no parameter `learnig-rate`; did you mean `learning-rate`?"
    );
    assert_eq!(fault("rank", "0"), "`rank` cannot be \"0\": a whole number from 1 to 512 is needed");
    assert_eq!(
        fault("steps", "1.5"),
        "`steps` cannot be \"1.5\": a whole number from 1 to 1000000 is needed"
    );
    assert!(fault("beta1", "NaN").contains("a number from 0.0 to 0.9999 is needed"));
    assert!(fault("method", "mud").contains("one of mudi, dreambooth, cutmix is needed"));
    assert!(fault("gradient-checkpointing", "on").contains("true or false is needed"));
    for sizes in ["a", "a=2", "a=0", "a=x", "=1", "a=1;b=1", "a=inf"] {
        assert!(fault("relative-sizes", sizes).contains("as `a=1,b=0.6`, are needed"), "{sizes}");
    }
    assert!(fault("relative-sizes", "a=1,a=1").contains("given twice"));
    assert_eq!(recipe, Recipe::default(), "a refused value changes nothing");
}

#[test]
fn json_is_checked_like_a_flag() {
    let fault = |text: &str| Recipe::from_json(text).unwrap_err().to_string();
    assert!(fault(r#"{"step": 3}"#).contains("did you mean `steps`?"));
    assert!(fault(r#"{"steps": -3}"#).contains("a whole number from 1"));
    assert!(fault(r#"{"steps": null}"#).contains("`steps` cannot be \"null\""));
    assert!(fault(r#"{"steps": [1]}"#).contains("one value is needed, not a list"));
    assert!(fault(r#"{"targets": ["a,b"]}"#).contains("without `,`"));
    assert!(fault(r#"{"targets": []}"#).contains("name at least to_q"));
    assert!(fault(r#"{"resolution": 100}"#).contains("a multiple of 8"));
    assert!(fault(r#"{"sample-every": 5}"#).contains("`sample-prompts` has none"));
    for twice in [
        r#"{"learning-rate": 0.1, "steps": 3, "learning_rate": 0.1}"#,
        r#"{"learning-rate": 0.1, "learning-rate": 0.2}"#,
    ] {
        assert!(fault(twice).starts_with("`learning-rate` is there twice"), "{twice}");
        let whole = serde_json::from_str::<Recipe>(twice).unwrap_err().to_string();
        assert!(whole.contains("`learning-rate` is there twice"), "{whole}");
    }
    assert!(fault("[]").contains("cannot be read"));
    assert!(fault("{").contains("cannot be read"));
    // As Windows' editors save it.
    assert_eq!(Recipe::from_json("\u{feff}{\"steps\": 7}").map(|recipe| recipe.steps), Ok(7));
    let recipe = Recipe::from_json(r#"{"targets": ["to_q"], "steps": 7, "gradient-checkpointing": false}"#);
    let recipe = recipe.unwrap();
    assert_eq!((recipe.steps, recipe.gradient_checkpointing, recipe.targets.len()), (7, false, 1));
    assert!(recipe.to_json().contains("\"targets\": [\n    \"to_q\"\n  ]"));
}

#[test]
fn fields_set_past_the_checks_are_found() {
    let bad = Recipe { min_scale: f64::NAN, ..Recipe::default() };
    assert!(bad.validate().unwrap_err().to_string().contains("`min-scale`"));
    let bad = Recipe { batch: 0, ..Recipe::default() };
    assert!(bad.validate().is_err());
}

proptest! {
    #[test]
    fn no_value_panics_and_what_is_taken_reads_back(
        index in 0..PARAMETERS.len(), text in prop_oneof![".{0,30}", "[0-9eE.+-]{0,12}", "[a-c=,0-9.]{0,12}"],
    ) {
        let name = PARAMETERS[index].name;
        let mut recipe = Recipe::default();
        if recipe.set(name, &text).is_ok() {
            let mut again = Recipe::default();
            again.set(name, &recipe.get(name).unwrap()).unwrap();
            prop_assert_eq!(&again, &recipe);
        } else {
            prop_assert_eq!(&recipe, &Recipe::default());
        }
    }

    #[test]
    fn no_json_panics(text in ".{0,60}", name in "[a-z-]{0,20}", number: f64) {
        drop(Recipe::from_json(&text));
        drop(Recipe::from_json(&serde_json::json!({ name: number }).to_string()));
    }
}

#[test]
fn the_loss_is_weighed_in_one_way() {
    let recipe = Recipe { debiased_loss: true, ..Recipe::default() };
    assert_eq!(recipe.validate(), Ok(()));
    let both = Recipe { min_snr_gamma: 5.0, ..recipe };
    assert!(both.validate().unwrap_err().to_string().contains("set `min-snr-gamma` to 0"));
}

#[test]
fn text_encoders_learn_at_a_rate_of_their_own() {
    let recipe = Recipe::default();
    assert!(!recipe.trains_text_encoders() && recipe.text_encoder_learning_rate_at(1) == 0.0);
    let warm = Recipe {
        text_encoder_learning_rate: 0.5,
        learning_rate: 1.0,
        steps: 10,
        warmup_steps: 2,
        learning_schedule: LearningSchedule::Linear,
        ..recipe
    };
    assert!(warm.trains_text_encoders());
    for step in 1..=10 {
        assert_eq!(warm.text_encoder_learning_rate_at(step), 0.5 * warm.learning_rate_at(step));
    }
    let mut prodigy = Recipe { optimizer: Optimizer::Prodigy, ..warm };
    assert!(prodigy.validate().unwrap_err().to_string().contains("one learning rate"));
    for rate in [0.0, 1.0] {
        prodigy.text_encoder_learning_rate = rate;
        assert_eq!(prodigy.validate(), Ok(()));
    }
}

#[test]
fn a_file_leaves_what_it_does_not_name() {
    let recipe = Recipe { seed: 5, margin: 64, ..Recipe::default() };
    let with = recipe.clone().with_json(r#"{"seed": 3}"#).unwrap();
    assert_eq!(with, Recipe { seed: 3, ..recipe.clone() });
    // What must hold between parameters may hold once others are set.
    let prodigy = recipe.with_json(r#"{"optimizer": "prodigy"}"#).unwrap();
    assert!(prodigy.validate().is_err());
    assert_eq!(Recipe { learning_rate: 1.0, ..prodigy }.validate(), Ok(()));
    assert!(Recipe::from_json(r#"{"optimizer": "prodigy"}"#).is_err());
}
