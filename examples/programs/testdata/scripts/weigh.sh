#!/bin/bash
# Adds up what each picker brought in; a line of input is "name kilos".
declare -A sum
while read -r name   kilos
do
if [[ $name == '#'* || -z $name ]]; then continue; fi
  sum[$name]=$(( ${sum[$name]:-0} + kilos ))
done
total=0
for name in amara  bjorn chidi; do
  printf '%-8s %4d kg\n' "$name" "${sum[$name]:-0}"
  total=$((total + ${sum[$name]:-0}))
done
printf '%-8s %4d kg\n' total $total
case $total in 0) echo "nobody came" ; exit 1;; *) ;; esac
