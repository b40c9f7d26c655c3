[
  { slug: 'pears', title: 'Pears & their keepers', text: 'Pick them hard.\n\nKeep them cool, < 4 °C.' },
  { slug: 'figs', title: 'Figs', text: 'They do not ripen off the tree.' },
  { slug: 'plums', title: 'Plums', text: 'A late frost takes the blossom.\n\nA wet July takes the rest.' },
]
