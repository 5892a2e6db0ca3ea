#!/bin/bash
# test_sweep_page.sh - DIR/report.html: after a run, beside one, after kill -9, and as a
# browser draws it, where Chromium is installed.
# shellcheck disable=SC2317,SC2016 source=tests/cluster/harness.sh
. "$(dirname "$0")/harness.sh"
cd "$TMPDIR" || exit 1

# A trainer in sh of 9 steps; width 7 fails, with a word that must not become markup.
cat >train.sh <<'TRAINER'
#!/bin/sh
for word; do
    case $word in --lr=*) lr=${word#*=} ;; --width=7) echo '</script><b id=broken>no luck'; exit 3 ;; esac
done
step=0
while [ "$step" -lt 9 ]; do
    step=$((step + 1))
    awk -v s="$step" -v lr="$lr" 'BEGIN { printf "{\"step\": %d, \"loss\": %.6f}\n", s, lr + 1 / s }'
    sleep "$PAUSE"
done
TRAINER
chmod +x train.sh
cat >sweep.yaml <<'YAML'
name: "page </script><b id=broken>"
method: random
metric: {name: loss, goal: minimize}
parameters:
  lr: {distribution: log_uniform_values, min: 0.001, max: 1.0}
  width: {values: [3, 5, 7]}
  kind: {values: ["</script><b id=broken>", plain]}
  drop: {min: 0.0, max: 1.0}
command: [./train.sh, '${args}']
run_cap: 24
covey: {scheduler: {type: asha, max_iter: 9, min_iter: 1, eta: 3}, parallel: 3, report: stdout, seed: 300000, storm: 0}
YAML
export PAUSE=0.002

run "$covey" sweep run sweep.yaml --dir s
t 'the run ends well' status_is 0
t 'and prints where its page is' out_has "$(realpath s)/report.html"
t 'the page is there' test -s s/report.html
# rows KEY FILE: how many rows the list of that name has, each on a line of its own.
rows() { awk -v key="^\"$1\": \\\\[" '/^"/ { on = $0 ~ key } on && /^[[{]/ { n++ } END { print n + 0 }' "$2"; }
t 'with a row of each trial' test "$(rows trials s/report.html)" -eq 24
t 'a curve of each' test "$(rows curves s/report.html)" -eq 24
t 'and a bar of each run' test "$(rows runs s/report.html)" -eq 24
t 'two rungs' test "$(rows rungs s/report.html)" -eq 2
t 'what a failed trial printed last' grep -q 'exit status 3: .u003c/script' s/report.html
t 'no text of a user is markup' eval '! grep -q "<b id=broken" s/report.html'
t 'nothing but the page is left' eval '[ -z "$(ls -A s | grep "^\.report")" ]'

# Beside a runner, and after it was killed
PAUSE=0.2 "$covey" sweep run sweep.yaml --dir killed -q >run.out 2>&1 </dev/null &
runner=$!
reported() { [ -s killed/results.jsonl ]; }
t 'a sweep runs' until_true reported
run "$covey" sweep report killed
t 'report beside it' status_is 0
t 'prints the path' out_has killed/report.html
t 'the page says that it runs' grep -q '"running": true' killed/report.html
kill -KILL $runner
wait $runner 2>/dev/null
released() { flock -n killed/lock true; }
t 'the runner is gone' until_true released
run "$covey" sweep report killed
t 'report after kill -9' status_is 0
t 'the page says that nobody runs it' grep -q '"running": false' killed/report.html
gone() { [ "$(pgrep -fc 'train.sh --lr=')" -eq 0 ]; }
t 'its trials are gone with it' until_true gone
run "$covey" sweep report nowhere
t 'no sweep there' status_is 2

# ---- in a browser ------------------------------------------------------------------------

# The page with a probe: every error from the first script on, then what was drawn, a
# search, a brush, and whether anything was asked of a network.  Frames come by the
# clock, since a browser that shows nothing to anybody may leave them out.
add_probe() # FROM TO
{
    cat >probe.js <<'JS'
(async () => {
  const frame = () => new Promise(done => requestAnimationFrame(done));
  const settle = async () => { do { await frame(); await frame(); } while (document.querySelector("[data-busy]")); };
  const said = [], say = (name, value) => said.push(`${name}=${value};`);
  const layer = (id, name) => document.querySelector(`#${id} canvas[data-layer="${name}"]`);
  const ink = canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(x => x > 0);
  await settle();
  say("drawn", document.documentElement.dataset.drawn);
  say("curves", layer("curves", "lines").dataset.drawn);
  say("lines", layer("parallel", "all").dataset.drawn);
  say("axes", document.querySelectorAll("#parallel .parallel-axis").length);
  say("brushes", document.querySelectorAll("#parallel .brush .overlay").length);
  say("dots", layer("history", "dots").dataset.drawn);
  say("bars", layer("timeline", "bars").dataset.drawn);
  say("shares", document.querySelectorAll("#importance .fill").length);
  say("rungs", document.querySelectorAll("#rungs .rung:not(.head)").length);
  say("rows", document.querySelectorAll("#table tbody tr").length);
  say("best", document.querySelectorAll("#best .config tr").length);
  say("ink", ["curves lines", "parallel all", "history dots", "timeline bars"].every(w => ink(layer(...w.split(" ")))));
  say("broken", document.querySelectorAll("#broken").length);
  const query = document.getElementById("query");
  query.value = "state=failed";
  query.dispatchEvent(new Event("input"));
  await settle();
  say("failed", document.querySelector("#table tbody").dataset.rows);
  query.value = "lr<0.03 width=5";
  query.dispatchEvent(new Event("input"));
  await settle();
  say("found", document.querySelector("#table tbody").dataset.rows);
  say("expected", trials.filter(t => t.x[0] < 0.03 && t.x[1] === 1).length);
  document.getElementById("clear").click();
  await settle();
  /* A brush over the lower half of the first axis. */
  const axis = document.querySelector('[data-axis="p0"] .overlay'), overlay = axis.getBoundingClientRect();
  const move = (type, y) => (type === "mousedown" ? axis : window).dispatchEvent(
    new MouseEvent(type, { bubbles: true, view: window, clientX: overlay.left + 14, clientY: y }));
  move("mousedown", overlay.top + overlay.height / 2);
  move("mousemove", overlay.top + overlay.height - 1);
  move("mouseup", overlay.top + overlay.height - 1);
  await settle();
  const below = x => trials.filter(t => t.x[0] < x).length, middle = Math.sqrt(0.001);
  const chosen = Number(document.querySelector("#table tbody").dataset.rows);
  const curves = Number(layer("curves", "lines").dataset.drawn);
  const lines = Number(layer("parallel", "chosen").dataset.drawn);
  say("brush", chosen > 0 && chosen >= below(middle * 0.9) && chosen <= below(middle * 1.1) &&
    curves <= chosen && lines === chosen);
  say("brushed", [chosen, below(middle), curves, lines]);
  /* A pointer on the best curve's best point. */
  const svg = document.querySelector("#curves svg");
  const point = document.querySelector("#curves .best-dot").getBoundingClientRect();
  document.getElementById("clear").click();
  svg.dispatchEvent(new PointerEvent("pointermove", { clientX: point.left + 5, clientY: point.top + 5 }));
  say("tip", document.getElementById("tip").textContent.startsWith("Trial "));
  document.getElementById("theme").click();
  await settle();
  say("requests", performance.getEntriesByType("resource").length);
  say("errors", seen.join(" | ") || "none");
  return said;
})().catch(e => [`errors=${e};`]).then(said =>
  document.body.append(Object.assign(document.createElement("pre"), { id: "probe", textContent: said.join("\n") })));
JS
    awk -v probe="$TMPDIR/probe.js" '
        { print }
        /^<meta charset/ { print "<script>const seen = []; addEventListener(\"error\", e => seen.push(e.message));" \
            "addEventListener(\"securitypolicyviolation\", e => seen.push(e.blockedURI));" \
            "requestAnimationFrame = f => setTimeout(() => f(performance.now()), 16);" \
            "addEventListener(\"unhandledrejection\", e => seen.push(String(e.reason)));" \
            "console.error = console.warn = (...a) => seen.push(a.join(\" \"));</script>" }
        /^<\/html>/ { print "<script>"; while ((getline line < probe) > 0) print line; print "</script>" }' "$1" >"$2"
}

# Chromium sometimes takes long to come up on a loaded machine, and then draws nothing.
browse() # FILE
{
    timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-crash-reporter --disable-breakpad \
        --no-first-run --disable-background-networking --disable-component-update --disable-sync \
        --user-data-dir="$TMPDIR/chromium" --window-size=1400,1000 --virtual-time-budget=10000 \
        --dump-dom "file://$TMPDIR/$1" >dom 2>chromium.err </dev/null
    sed -n '/<pre id="probe">/,/<\/pre>/p' dom >said
    [ -s said ]
}
says() { grep -qF -- "$1=$2;" said; }
if ! command -v chromium >/dev/null 2>&1; then
    skip 'the page in a browser' 'chromium is not installed'
    finish
fi
export HOME=$TMPDIR XDG_CONFIG_HOME=$TMPDIR/config XDG_CACHE_HOME=$TMPDIR/cache
add_probe s/report.html probed.html
t 'chromium shows it' eval 'browse probed.html || browse probed.html'
cp said err
: >out
with_value=$("$covey" sweep show s --json | grep -c '"value":')
failed=$("$covey" sweep show s --json | grep -c '"state": "failed"')
t 'every part is drawn' says drawn all
t 'without an error' says errors none
t 'a curve of each trial that reported' says curves "$with_value"
t 'a line of each trial across the axes' says lines 24
t 'an axis of each parameter and of the metric' says axes 5
t 'and a brush on each' says brushes 5
t 'a dot of each value' says dots "$with_value"
t 'a bar of each run' says bars 24
t 'a share of each parameter' says shares 4
t 'the rungs' says rungs 2
t 'the rows of the table' says rows 24
t 'the best configuration' says best 4
t 'there is something on every canvas' says ink true
t 'no text of a user became an element' says broken 0
t 'the search finds the failed' says failed "$failed"
t 'and those of a condition' says found "$(sed -n 's/.*expected=\([0-9]*\);.*/\1/p' said)"
t 'a brush chooses in curves and table' says brush true
t 'the pointer names the trial' says tip true
t 'no request was made' says requests 0
finish
