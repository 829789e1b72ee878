/* simulations/report_style.c - the style sheet of the report, in pieces no compiler has to bear
 * with. */
#include "simulations/report_parts.h"

const char *const csl_report__style[] = {
    ":root{color-scheme:light dark;--bg:#f5f7f8;--card:#fff;--ink:#17222b;--soft:#546573;"
    "--rule:#dde4e8;--faint:#eef2f4;--accent:#0a6c74;--span:#8fc3c6;--warn-bg:#fff6e5;"
    "--warn:#8a5300;--warn-rule:#f0c987;--c0:#0a6c74;--c1:#b4531a;--c2:#5b4fb3;--c3:#3d7d2c;"
    "--c4:#b02a6b;--c5:#2f6fb5;--c6:#8a6d00;--c7:#6b7280}\n",
    "@media(prefers-color-scheme:dark){:root{--bg:#10171c;--card:#18222a;--ink:#e6edf1;"
    "--soft:#9fb0bc;--rule:#2c3a44;--faint:#202c35;--accent:#5cc4c9;--span:#2f7378;"
    "--warn-bg:#33270f;--warn:#f5c46b;--warn-rule:#6d5320;--c0:#5cc4c9;--c1:#f0935a;--c2:#a99ff5;"
    "--c3:#86c76f;--c4:#f07fb1;--c5:#7db4f0;--c6:#d9bb4c;--c7:#a3adb8}}\n",
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-variant-numeric:tabular-nums}\n",
    ".skip{position:absolute;left:-999px;top:0;background:var(--card);color:var(--accent);"
    "padding:.6rem 1rem;z-index:9}.skip:focus{left:0}\n",
    ".page{max-width:1080px;margin:0 auto;padding:0 1.25rem 3rem}"
    "header.top{padding:2.2rem 0 1.2rem}"
    ".eyebrow{margin:0;color:var(--accent);font-weight:600;letter-spacing:.02em}"
    "h1{font-size:2rem;line-height:1.2;margin:.2rem 0 .3rem;overflow-wrap:anywhere}"
    ".question{font-size:1.15rem;color:var(--soft);margin:0;max-width:46em}"
    "h2{font-size:1.25rem;line-height:1.3;margin:0 0 .8rem}"
    "h3{font-size:1.02rem;margin:1.6rem 0 .5rem}p{max-width:48em}\n",
    "section{background:var(--card);border:1px solid var(--rule);border-radius:10px;"
    "padding:1.3rem 1.4rem;margin:1rem 0}section>:last-child{margin-bottom:0}\n",
    ".notice{background:var(--warn-bg);border:1px solid var(--warn-rule);border-radius:10px;"
    "padding:.9rem 1.4rem;margin:1rem 0}.notice strong{color:var(--warn)}"
    ".notice p{margin:.2rem 0}.answer{font-size:1.08rem;max-width:52em;margin:1.2rem 0}\n",
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:1rem;"
    "margin:1rem 0;padding:0;list-style:none}"
    ".cards li{background:var(--card);border:1px solid var(--rule);border-radius:10px;"
    "padding:1rem 1.2rem}.cards .what{display:block;color:var(--soft);font-size:.9rem}"
    ".cards .figure{display:block;font-size:1.9rem;font-weight:650;line-height:1.25}"
    ".cards .detail{display:block;color:var(--soft);font-size:.85rem}\n",
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));"
    "gap:.7rem 1.4rem;margin:0}.facts div{min-width:0}.facts dt{color:var(--soft);font-size:.85rem}"
    ".facts dd{margin:0;overflow-wrap:anywhere}.facts .wide{grid-column:1/-1}"
    "code{font:.85em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}"
    "pre{background:var(--faint);border-radius:6px;padding:.7rem .9rem;overflow-x:auto}\n",
    ".scroll{overflow-x:auto;margin:0 -1.4rem;padding:0 1.4rem}"
    ".scroll+.scroll{margin-top:1.4rem}.scroll:focus-visible{outline:2px solid var(--accent)}"
    "table{border-collapse:collapse;width:100%;font-size:.93rem}"
    "caption{text-align:left;color:var(--soft);font-size:.88rem;padding:0 0 .5rem;position:sticky;"
    "left:0;max-width:min(52em,calc(100vw - 3.8rem))}"
    "th,td{text-align:left;padding:.42rem .9rem .42rem 0;border-bottom:1px solid var(--rule);"
    "vertical-align:middle}thead th{color:var(--soft);font-weight:600;font-size:.85rem;"
    "vertical-align:bottom;white-space:nowrap}tbody th{font-weight:550}"
    "th.num,td.num{text-align:right}thead .scale{display:block;font-weight:400;font-size:.8rem}"
    "tbody tr.sum th,tbody tr.sum td{background:var(--faint);border-bottom-color:var(--rule)}"
    "tbody tr.sum th:first-child,tbody tr.us th:first-child{padding-left:.6rem}"
    "tbody tr.us th,tbody tr.us td{background:color-mix(in srgb,var(--accent) 9%,transparent)}"
    "td.m{white-space:nowrap}td.m b{font-weight:620}td.m .r{color:var(--soft);font-size:.85rem;"
    "margin-left:.45rem}td.m svg{display:block}.none{color:var(--soft)}"
    ".note{color:var(--soft);font-size:.88rem}"
    ".few{display:block;font-weight:400;font-size:.8rem;color:var(--warn);white-space:nowrap}"
    "table.heat .few{color:inherit;font-size:.72rem}"
    ".vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\n",
    "svg.ci .track{stroke:var(--rule);stroke-width:2}svg.ci .span{fill:var(--span)}"
    "svg.ci .dot{fill:var(--accent)}svg.ci .ref{stroke:var(--soft);stroke-dasharray:2 2}"
    "svg.ci{max-width:none}\n",
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));"
    "gap:1.4rem}.chart{margin:0}.chart>svg{width:100%;height:auto;display:block}"
    "figcaption{font-weight:600;margin-bottom:.3rem}"
    "figcaption .unit{color:var(--soft);font-weight:400;font-size:.88rem;margin-left:.6rem}"
    ".grid{stroke:var(--rule)}.base{stroke:var(--soft)}"
    ".tick,.axis{fill:var(--soft);font-size:13px}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.point{stroke:none}"
    ".line.s0{stroke:var(--c0)}.line.s1{stroke:var(--c1);stroke-dasharray:7 3}"
    ".line.s2{stroke:var(--c2)}.line.s3{stroke:var(--c3);stroke-dasharray:3 3}"
    ".line.s4{stroke:var(--c4)}.line.s5{stroke:var(--c5);stroke-dasharray:7 3}"
    ".line.s6{stroke:var(--c6)}.line.s7{stroke:var(--c7);stroke-dasharray:3 3}"
    ".line.s8{stroke:var(--ink);stroke-width:3}"
    ".point.s0{fill:var(--c0)}.point.s1{fill:var(--c1)}.point.s2{fill:var(--c2)}"
    ".point.s3{fill:var(--c3)}.point.s4{fill:var(--c4)}.point.s5{fill:var(--c5)}"
    ".point.s6{fill:var(--c6)}.point.s7{fill:var(--c7)}.point.s8{fill:var(--ink)}"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.3rem 0 0;"
    "padding:0;font-size:.85rem;color:var(--soft)}.legend svg{margin-right:.4rem}\n",
    "table.heat td{text-align:center;padding:.5rem .6rem;border:2px solid var(--card);"
    "border-radius:4px}table.heat td "
    ".r{display:block;font-size:.76rem;white-space:nowrap;opacity:.85}"
    "table.heat thead th{text-align:center}"
    ".h0{background:#fbe3d6;color:#4a2410}.h1{background:#fdf0d9;color:#453309}"
    ".h2{background:#eef3dd;color:#2c3810}.h3{background:#d3ebe3;color:#0c3a33}"
    ".h4{background:#a9d8d4;color:#062f2d}.h5{background:#6fbdbb;color:#04201f}"
    "@media(prefers-color-scheme:dark){.h0{background:#5a2c17;color:#fbe3d6}"
    ".h1{background:#54431a;color:#fdf0d9}.h2{background:#3d4a1f;color:#eef3dd}"
    ".h3{background:#1e4c43;color:#d3ebe3}.h4{background:#216560;color:#dff5f3}"
    ".h5{background:#2b8a86;color:#f3ffff}}\n",
    "details{margin:1rem 0 0}summary{cursor:pointer;color:var(--accent);font-weight:600}"
    "a{color:var(--accent)}nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;"
    "padding:0;margin:.2rem 0 0;font-size:.93rem}"
    "footer{color:var(--soft);font-size:.85rem;margin-top:1.5rem}\n",
    "@media(max-width:600px){.facts{grid-template-columns:1fr 1fr}.page{padding:0 .8rem "
    "2rem}header.top{padding:1.3rem 0 .8rem}"
    "h1{font-size:1.55rem}section{padding:1rem}.scroll{margin:0 -1rem;padding:0 1rem}"
    ".cards{grid-template-columns:1fr 1fr;gap:.6rem}.cards li{padding:.7rem .8rem}"
    ".cards .figure{font-size:1.45rem}.tick,.axis{font-size:20px}th,td{padding-right:.7rem}}\n",
    "@media "
    "print{html{font-size:10pt}:root{--bg:#fff;--card:#fff;--ink:#000;--soft:#333;--rule:#bbb}"
    "body{font-size:10pt}.page{max-width:none;padding:0}section,.cards li{border-color:#bbb}"
    "nav,.skip{display:none}tr,figure,.cards li{break-inside:avoid}h2,h3{break-after:avoid}"
    ".scroll{overflow:visible;margin:0;padding:0}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    /* a sheet of paper does not scroll and nobody can open a fold on it */
    "table{font-size:8.5pt}th,td{padding:2pt 5pt 2pt 0}thead th{white-space:normal;font-size:8pt}"
    "caption{position:static;max-width:none}td.m{white-space:normal}"
    "td.m .r{display:block;margin:0;white-space:nowrap;font-size:7.5pt}"
    "svg.ci{width:100%;max-width:66pt;height:auto}tbody th{overflow-wrap:anywhere}"
    "table.heat td{padding:2pt}table.heat td .r{font-size:6.5pt}.few{white-space:normal}"
    "section{padding:9pt 10pt}.charts{grid-template-columns:1fr 1fr}"
    "details>*{display:block}details::details-content{content-visibility:visible;display:block;"
    "height:auto}summary{list-style:none}}\n",
    NULL,
};
