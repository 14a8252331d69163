// Draws a figure where a notebook, or a page made of one, shows it; Plotly comes along, packed, for pages that have none.
async (id, packed, figure) => {
  "use strict";
  const unpacked = async () => {
    const bytes = new Blob([Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0))]);
    const script = document.createElement("script");
    script.textContent = await new Response(bytes.stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(script);
  };
  if (!window.Plotly) await (window.tapelinePlotly ??= unpacked()); // one page may have many figures
  await Plotly.newPlot(id, figure.data, figure.layout, figure.config);
}
