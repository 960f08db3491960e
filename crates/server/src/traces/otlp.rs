//! Spans as OpenTelemetry has them, sent as protobuf over HTTP by a thread of their own. No span holds what was said.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, Span},
};

use wireproof_protocol::Address;

use super::{RunFacts, TraceParent};

/// How long the receiver may take for one batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends spans to a receiver.
pub struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The span of one run.
pub struct RunSpan {
    tracer: SdkTracer,
    context: Context,
    span: Mutex<Span>,
}

impl Exporter {
    /// An exporter to the receiver at this address, such as `http://127.0.0.1:4318`.
    pub fn to(endpoint: &str) -> Result<Self, &'static str> {
        if Address::web(endpoint).is_err() {
            return Err("it must be the address of an OTLP receiver over HTTP");
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|_| "no exporter could be made for it")?;
        let about = Resource::builder()
            .with_service_name("wireproof")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider =
            SdkTracerProvider::builder().with_resource(about).with_batch_exporter(exporter).build();
        let tracer = provider.tracer("wireproof");
        Ok(Self { provider, tracer })
    }

    /// Begins the span of a run.
    pub fn run(&self, facts: RunFacts<'_>, parent: Option<TraceParent>) -> RunSpan {
        let asked_by = parent.map_or_else(Context::new, |parent| {
            let (trace_id, span_id) = (TraceId::from(parent.trace_id), SpanId::from(parent.span_id));
            let flags = TraceFlags::new(parent.flags);
            Context::new().with_remote_span_context(SpanContext::new(
                trace_id,
                span_id,
                flags,
                true,
                TraceState::default(),
            ))
        });
        let attributes = vec![
            KeyValue::new("gen_ai.operation.name", "invoke_agent"),
            KeyValue::new("gen_ai.agent.name", facts.agent.to_owned()),
            KeyValue::new("wireproof.run_id", facts.run_id.to_string()),
            KeyValue::new("wireproof.thread_id", facts.thread_id.to_string()),
            KeyValue::new("wireproof.user_id", facts.user_id.to_string()),
        ];
        let span = self
            .tracer
            .span_builder(format!("invoke_agent {}", facts.agent))
            .with_kind(SpanKind::Server)
            .with_start_time(UNIX_EPOCH + Duration::try_from_secs_f64(facts.asked_at).unwrap_or_default())
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &asked_by);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        RunSpan { tracer: self.tracer.clone(), context, span: Mutex::new(span) }
    }

    /// Sends what is left.
    pub fn close(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

impl RunSpan {
    fn span(&self) -> std::sync::MutexGuard<'_, Span> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn started(&self) {
        self.span().add_event("agent_started", Vec::new());
    }

    /// A tool's span is made when it is over, with the time it began.
    pub fn tool(&self, name: &str, ok: bool, seconds: f64) {
        let end = SystemTime::now();
        let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let mut span = self
            .tracer
            .span_builder(format!("execute_tool {name}"))
            .with_kind(SpanKind::Internal)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes(vec![
                KeyValue::new("gen_ai.operation.name", "execute_tool"),
                KeyValue::new("gen_ai.tool.name", name.to_owned()),
            ])
            .start_with_context(&self.tracer, &self.context);
        if !ok {
            span.set_status(Status::error("the tool failed"));
        }
        span.end_with_timestamp(end);
    }

    pub fn ended(&self, outcome: &'static str) {
        let mut span = self.span();
        span.set_attribute(KeyValue::new("wireproof.outcome", outcome));
        if outcome == "failed" {
            span.set_status(Status::error("the run failed"));
        }
        span.end();
    }
}
