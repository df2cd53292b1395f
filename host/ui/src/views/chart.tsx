// A chart, and the same numbers as a table for those who do not see it.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colour, place } from "../colours";
import { NO_MODEL, type Figure } from "../figures";
import { between, clock } from "../format";
import { watch } from "../theme";

interface Props {
  title: string;
  unit: string;
  figure: Figure;
  format: (value: number) => string;
  /** What a row of the table is, and how its numbers are written. */
  rows: { are: string; format: (value: number) => string };
  /** Of the last step, for everybody. */
  now: string;
  span: string;
}

export function label(bundle: string): string {
  return bundle === NO_MODEL ? "without a model" : bundle;
}

export function Chart({ title, unit, figure, format, rows, now, span }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = figure.lines.map((line) => `${line.bundle} ${line.label}`).join("\n");
  const data = [figure.times, ...figure.lines.map((line) => line.values)] as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element, figure, format), latest.current, element);
    };
    draw();
    const unwatch = watch(draw);
    const observer = new ResizeObserver(() => {
      const width = Math.floor(element.clientWidth);
      if (width > 0 && plot.current?.width !== width) plot.current?.setSize({ width, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      unwatch();
      plot.current?.destroy();
      plot.current = null;
    };
    // Another set of lines is another plot; new values alone are not.
  }, [shape, span]);

  useEffect(() => {
    plot.current?.setData(latest.current);
  }, [figure]);

  const id = `chart-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return (
    <figure class="chart" aria-labelledby={id}>
      <figcaption>
        <h3 id={id}>
          {title} <span class="unit">{unit}</span>
        </h3>
        <span class="now">{now}</span>
      </figcaption>
      <div class="plot" ref={host} aria-hidden="true" />
      <details>
        <summary>
          <span class="sr">{title}: </span>as a table
        </summary>
        <Table id={id} title={title} figure={figure} rows={rows} />
      </details>
    </figure>
  );
}

const HEIGHT = 150;
/** Seconds that a chart shows at least: the first steps of a host are few. */
const LEAST = 120;
/** Below so many seconds between the first and the last label, they have seconds. */
const SHORT = 600;

function options(element: HTMLElement, figure: Figure, format: Props["format"]): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const font = `11px ${read("--sans")}`;
  const axis: uPlot.Axis = {
    stroke: read("--muted"),
    font,
    grid: { stroke: read("--line"), width: 1 },
    ticks: { show: false },
  };
  const times = (_: uPlot, splits: number[]) => {
    const short = (splits.at(-1) ?? 0) - (splits[0] ?? 0) < SHORT;
    return splits.map((seconds) => (short ? clock(seconds * 1000) : clock(seconds * 1000).slice(0, 5)));
  };
  return {
    width: Math.max(200, Math.floor(element.clientWidth)),
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [8, 8, 0, 0],
    scales: { x: { range: shown }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, values: times, space: 80, size: 26 },
      { ...axis, size: 52, space: 34, values: (_, splits) => splits.map((value) => format(value)) },
    ],
    series: [
      {},
      ...figure.lines.map((line): uPlot.Series => {
        const stroke = line.bundle === NO_MODEL ? read("--muted") : colour(line.bundle);
        return {
          stroke,
          width: 1.75,
          spanGaps: true,
          // A line needs two ends.
          points: { show: (plot) => (plot.data[0].length < 3), size: 5 },
          ...(line.dashed && { dash: [4, 4] }),
          ...(!line.dashed && line.label === "" && { fill: `${stroke}1a` }),
        };
      }),
    ],
  };
}

/** The time that is shown: all that there is, and never less than makes a chart. */
function shown(_: uPlot, first: number | null, last: number | null): [number, number] {
  const now = Date.now() / 1000;
  return first && last ? [Math.min(first, last - LEAST), last] : [now - LEAST, now];
}

function Table({ id, title, figure, rows }: Pick<Props, "title" | "figure" | "rows"> & { id: string }) {
  if (figure.lines.length === 0) return <p class="quiet">Nothing yet.</p>;
  return (
    <>
      <p id={`${id}-rows`}>{rows.are} A row with seconds is not whole: it is not over yet, or its beginning is not remembered.</p>
      <div class="scroll" tabIndex={0} role="region" aria-label={`${title}, as a table`}>
        <table aria-describedby={`${id}-rows`}>
          <thead>
            <tr>
              <th scope="col">Time</th>
              {figure.lines.map((line) => (
                <th scope="col" class="figure">
                  {label(line.bundle)} {line.label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {figure.rows.map((row) => (
              <tr key={row.from} data-whole={row.whole}>
                <th scope="row">{between(row.from, row.to)}</th>
                {row.values.map((value) => (
                  <td class="figure">{value === null ? "–" : rows.format(value)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

export function Swatch({ bundle }: { bundle: string }) {
  return <span class={bundle === NO_MODEL ? "swatch" : `swatch v${place(bundle)}`} aria-hidden="true" />;
}
