// The events of one run for both servers in Node, of the fields and sizes that wireproof's have.

const { randomUUID } = require("node:crypto");

module.exports = function* fiveEvents(user, content, seq) {
  const [thread, run, call, answer] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
  const began = performance.now();
  const event = (number, type, body) => ({
    seq: seq + number,
    event_id: randomUUID(),
    user_id: user,
    thread_id: thread,
    timestamp: Date.now() / 1000,
    run_id: run,
    run_seq: number,
    agent_name: "builtin",
    type,
    ...body,
  });

  const message = "The builtin agent, which follows fixed rules, is working on your message.";
  yield event(1, "agent_started", { message });
  const [expression, left, right] = /(\d+)\*(\d+)/.exec(content);
  const reasoning = `My rules read one ask in this message: (1) calculate: ${expression}`;
  yield event(2, "agent_thinking", { reasoning, step_number: 1 });
  const tool = { tool_call_id: call, tool_name: "calculate" };
  yield event(3, "tool_executing", { ...tool, parameters: { expression } });
  const result = { exact: true, expression, result: String(left * right) };
  yield event(4, "tool_completed", { ...tool, result, duration_ms: performance.now() - began });
  const final_response = `${expression} = ${result.result}.\n(I follow fixed rules; no language model took part.)`;
  const usage = { input_tokens: 0, output_tokens: 0, total_tokens: 0 };
  const done = { outcome: "success", message_id: answer, final_response, usage };
  yield event(5, "agent_completed", { ...done, duration_ms: performance.now() - began });
};
