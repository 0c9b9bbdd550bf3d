// The stream of figures: server-sent events, begun again whenever they end.

/** Without a word for this long the connection counts as lost: health is told every second. */
const SILENCE_MS = 4000;
const AGAIN_MS = 1500;

/**
 * Listens to a day's figures, today's if `day` is empty. `on` has `figures(day, health)`,
 * `health(health)` and `lost()`. Returns a function that ends it.
 */
export function listen(day, on) {
  let source, timer, silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => { on.lost(); begin(); }, SILENCE_MS);
  };
  function begin() {
    source?.close();
    clearTimeout(timer);
    source = new EventSource(`/api/v1/live${day ? `?day=${encodeURIComponent(day)}` : ""}`);
    source.addEventListener("figures", (event) => {
      heard();
      const frame = JSON.parse(event.data);
      on.figures(frame.day, frame.health);
    });
    source.addEventListener("health", (event) => {
      heard();
      on.health(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      on.lost();
      // A refusal closes it for good; anything else it mends by itself.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(begin, AGAIN_MS);
    });
  }
  begin();
  heard();
  return () => {
    source.close();
    clearTimeout(timer);
    clearTimeout(silence);
  };
}
