//! Files that benchmarks write for themselves are files like any other.

use bobbin_bundle::gguf::preflight_reader;
use bobbin_synthetic::{Architecture, Error, Quant, SHAPES, Shape, StateSpace, write, write_state_space};

fn tiny(architecture: Architecture, tied: bool) -> Shape {
    Shape {
        name: "tiny",
        architecture,
        layers: 2,
        width: 256,
        feed_forward: 512,
        heads: 4,
        kv_heads: 2,
        head_width: 64,
        vocabulary: 300,
        context: 128,
        tied,
        rope_base: 1e4,
        epsilon: 1e-5,
    }
}

#[test]
fn a_synthetic_file_passes_the_preflight_in_every_quantisation() {
    for quant in Quant::ALL {
        for (architecture, tied) in [(Architecture::Llama, false), (Architecture::Qwen2, true)] {
            let mut file = Vec::new();
            let size = write(&mut file, &tiny(architecture, tied), quant, 1).unwrap();
            assert_eq!(size, file.len() as u64);
            let summary = preflight_reader(file.as_slice(), size).unwrap_or_else(|error| panic!("{quant}: {error}"));
            let found = (summary.architecture.as_str(), summary.context_length, summary.vocabulary);
            let name = if architecture == Architecture::Llama { "llama" } else { "qwen2" };
            assert_eq!(found, (name, 128, 300), "{quant}");
        }
    }
}

#[test]
fn models_that_keep_a_state_pass_it_too() {
    for (kind, name) in [(StateSpace::Mamba, "mamba"), (StateSpace::Jamba, "jamba")] {
        let mut file = Vec::new();
        let size = write_state_space(&mut file, kind, 1).unwrap();
        assert_eq!(size, file.len() as u64);
        let summary = preflight_reader(file.as_slice(), size).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((summary.architecture.as_str(), summary.context_length), (name, StateSpace::CONTEXT));
    }
}

#[test]
fn another_seed_gives_other_weights_of_the_same_shape() {
    let file = |seed| {
        let mut file = Vec::new();
        write(&mut file, &tiny(Architecture::Llama, true), Quant::Q8_0, seed).unwrap();
        file
    };
    let (one, same, other) = (file(1), file(1), file(2));
    assert!(one == same && one != other && one.len() == other.len());
}

#[test]
fn rows_that_a_quantisation_cannot_take_are_refused_before_anything_is_written() {
    let shape: Shape = "qwen2.5-0.5b".parse().unwrap();
    let mut file = Vec::new();
    let error = write(&mut file, &shape, Quant::Q4K, 1).unwrap_err();
    assert!(matches!(error, Error::Rows { row: 896, quant: Quant::Q4K, .. }), "{error}");
    assert!(file.is_empty());
}

#[test]
fn names_that_there_are_not_list_those_that_there_are() {
    let error = "gpt-9".parse::<Shape>().unwrap_err().to_string();
    assert!(SHAPES.iter().all(|shape| error.contains(shape.name)), "{error}");
    let error = "q2_k".parse::<Quant>().unwrap_err().to_string();
    assert!(Quant::ALL.iter().all(|quant| error.contains(quant.name())), "{error}");
}
