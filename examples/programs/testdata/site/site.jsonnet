// A small site: one page for each entry of pages.libsonnet, and an index.
local pages = import 'pages.libsonnet';

local shell(title, body) = |||
  <!doctype html>
  <html lang="en">
  <head><meta charset="utf-8"><title>%(title)s</title></head>
  <body>
  <h1>%(title)s</h1>
  %(body)s
  </body>
  </html>
||| % { title: std.escapeStringXML(title), body: body };

local paragraphs(text) = std.join('\n', ['<p>%s</p>' % std.escapeStringXML(p) for p in std.split(text, '\n\n')]);

{
  [p.slug + '.html']: shell(p.title, paragraphs(p.text))
  for p in pages
} + {
  'index.html': shell('The orchard', '<ul>\n%s\n</ul>' % std.join('\n', [
    '<li><a href="%s.html">%s</a></li>' % [p.slug, std.escapeStringXML(p.title)]
    for p in std.sort(pages, function(p) p.title)
  ])),
}
