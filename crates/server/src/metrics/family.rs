//! One metric for each combination of words from closed lists: all series are there from the start and none is added,
//! whatever clients send.

use std::{borrow::Cow, fmt, sync::Arc};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::MetricType,
};

/// A label and the words it may have. The last word stands for every word that is not in the list.
#[derive(Debug)]
pub struct Label {
    name: &'static str,
    words: Vec<Cow<'static, str>>,
}

impl Label {
    /// A label of these words.
    pub fn new(name: &'static str, words: &[&'static str]) -> Self {
        Self { name, words: words.iter().map(|word| Cow::Borrowed(*word)).collect() }
    }

    /// A label of words that are known when the server starts; `other` is the last one.
    pub fn of_names(name: &'static str, words: impl IntoIterator<Item = String>) -> Self {
        let mut words: Vec<Cow<'static, str>> = words.into_iter().map(Cow::Owned).collect();
        words.sort();
        words.dedup();
        words.retain(|word| word != "other");
        words.push(Cow::Borrowed("other"));
        Self { name, words }
    }

    fn index(&self, word: &str) -> usize {
        self.words.iter().position(|known| known == word).unwrap_or(self.words.len() - 1)
    }
}

/// A metric for each combination of the labels' words; clones share them.
#[derive(Clone)]
pub struct Family<M>(Arc<Table<M>>);

struct Table<M> {
    labels: Vec<Label>,
    metrics: Vec<M>,
}

impl<M> Family<M> {
    /// A metric made by `make` for each combination.
    pub fn new(labels: Vec<Label>, make: impl FnMut() -> M) -> Self {
        let series = labels.iter().map(|label| label.words.len()).product();
        let metrics = std::iter::repeat_with(make).take(series).collect();
        Self(Arc::new(Table { labels, metrics }))
    }

    /// The metric of these words, one for each label in its order.
    pub fn at(&self, words: &[&str]) -> &M {
        let places = self.0.labels.iter().zip(words);
        let index = places.fold(0, |index, (label, word)| index * label.words.len() + label.index(word));
        &self.0.metrics[index]
    }

    /// Every metric.
    pub fn all(&self) -> impl Iterator<Item = &M> {
        self.0.metrics.iter()
    }

    fn words(&self, mut index: usize) -> Vec<(&'static str, &str)> {
        let mut words = Vec::with_capacity(self.0.labels.len());
        for label in self.0.labels.iter().rev() {
            words.push((label.name, &*label.words[index % label.words.len()]));
            index /= label.words.len();
        }
        words.reverse();
        words
    }
}

impl<M> fmt::Debug for Family<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.labels).finish()
    }
}

impl<M: EncodeMetric> EncodeMetric for Family<M> {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (index, metric) in self.0.metrics.iter().enumerate() {
            metric.encode(encoder.encode_family(&self.words(index))?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.0.metrics.first().map_or(MetricType::Unknown, EncodeMetric::metric_type)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn words_find_their_metric_and_strangers_the_last() {
        let family: Family<Counter> = Family::new(
            vec![Label::new("a", &["x", "y", "other"]), Label::new("b", &["good", "bad"])],
            Counter::default,
        );
        family.at(&["y", "good"]).inc();
        family.at(&["nobody knows", "good"]).inc_by(2);
        let counts: Vec<u64> = family.all().map(Counter::get).collect();
        assert_eq!(counts, [0, 0, 1, 0, 2, 0]);
        assert_eq!(family.words(2), [("a", "y"), ("b", "good")]);
    }
}
