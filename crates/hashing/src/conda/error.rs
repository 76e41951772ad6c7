/// Why a conda document can't be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("conda document, line {line}, column {column}: {problem}")]
pub struct CondaError {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: CondaProblem,
}

/// What is wrong with a conda document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CondaProblem {
    /// The text is not YAML.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// The text, or what its aliases expand to, is longer than the limit.
    #[error("more than {limit} bytes of text")]
    TooMuchText {
        /// The limit in bytes.
        limit: usize,
    },
    /// More values than the limit, those that aliases repeat included.
    #[error("more than {limit} values")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// Values lie deeper inside each other than the limit.
    #[error("nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// An alias stands inside the value that it names.
    #[error("an alias inside the value it refers to")]
    RecursiveAlias,
    /// A merge key, `<<`.
    #[error("a merge key `<<`; write the keys out")]
    MergeKey,
    /// The same key twice in one mapping.
    #[error("the key {0:?} a second time")]
    DuplicateKey(String),
    /// A tag such as `!!str`.
    #[error("a tag; every value is read as text")]
    Tag,
    /// A second document in one text.
    #[error("a second document; only one is allowed")]
    SeveralDocuments,
    /// A mapping's key that is not a text.
    #[error("a key that is not a text")]
    KeyNotText,
    /// An empty entry of a list.
    #[error("an empty entry in a list; remove it or quote it")]
    NullEntry,
    /// A value of the wrong kind.
    #[error("{field} must be {expected}")]
    Shape {
        /// Which value.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}
