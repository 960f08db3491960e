//! Why a stream gave no turn.

/// Why what came from a model server is no turn: a sentence for people, without anything that the server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A web page, or a text that is neither a stream nor JSON.
    #[error("the model server sent something that is not a stream of Chat Completions")]
    NotAStream,
    /// JSON that cannot be read, or that has another shape.
    #[error("the model server sent a part that cannot be read")]
    Malformed,
    /// An error object, at the start or in the middle.
    #[error("the model server reported an error")]
    Reported,
    /// The stream ended without `[DONE]` and without a `finish_reason`.
    #[error("the answer of the model server ended in the middle")]
    Cut,
    /// More bytes or tool calls than the bounds allow.
    #[error("the answer of the model server is larger than allowed")]
    TooLarge,
}

impl StreamError {
    /// The word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAStream => "model_not_a_stream",
            Self::Malformed => "model_malformed",
            Self::Reported => "model_error",
            Self::Cut => "model_cut",
            Self::TooLarge => "model_too_large",
        }
    }
}
