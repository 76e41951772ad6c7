//! The 150 flowers, and the two projects that classify them.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::json;

/// One flower: what is sent, and what should come back.
pub(crate) struct Flower {
    pub(crate) lengths: [f64; 4],
    pub(crate) species: String,
}

impl Flower {
    /// The body of a scoring request about this flower alone.
    pub(crate) fn body(&self) -> Bytes {
        json!({ "data": [self.lengths] }).to_string().into()
    }
}

/// Fisher's data, in the order of the file.
pub(crate) fn flowers() -> Vec<Flower> {
    let rows = include_str!("../iris/iris.csv").lines().skip(1);
    rows.map(|row| {
        let mut fields = row.split(',');
        let lengths = std::array::from_fn(|_| {
            fields.next().and_then(|n| n.parse().ok()).expect("the file has lengths")
        });
        Flower { lengths, species: fields.next().expect("the file has species").to_owned() }
    })
    .collect()
}

/// The folder of one of the projects beside `iris.csv`.
pub(crate) fn project(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/iris")).join(name)
}
