#!/usr/bin/env bash
# Makes pictures of every mail in every language, as people open them: on a desk, on a phone, and on
# a phone in the dark, a few mails to a picture. Needs Chromium and a font with Devanagari (Debian:
# chromium, fonts-noto-core).
#   scripts/look-at-mails.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?name a folder to write into}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cargo run --quiet --example mail_previews -- "$folder"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

# sheets WAY WIDTH HEIGHT COLUMNS FILES_PER_SHEET [FLAG …]: pictures WAY-LANGUAGE-NUMBER.png
sheets() {
    local way=$1 width=$2 height=$3 columns=$4 many=$5 language sheet number files
    shift 5
    for language in $(cd "$folder" && ls ./*.html | sed -n 's/^\.\/\([a-z]*\)-.*/\1/p' | sort -u); do
        files=("$folder/$language"-*.html)
        for ((number = 0; number * many < ${#files[@]}; number++)); do
            sheet="$folder/$way-$language-$number"
            {
                echo '<body style="margin:8px;background:#808080">'
                for file in "${files[@]:number * many:many}"; do
                    echo "<iframe src='$file' style='width:${width}px;height:${height}px;margin:4px;border:0'></iframe>"
                done
            } >"$profile/sheet.html"
            timeout 60 "$browser" --headless --no-sandbox --disable-gpu --no-first-run \
                --disable-background-networking --disable-component-update --disable-sync \
                --hide-scrollbars --user-data-dir="$profile/user" "$@" \
                --window-size="$((columns * (width + 14) + 16)),$((many / columns * (height + 14) + 16))" \
                --screenshot="$sheet.png" "file://$profile/sheet.html" >/dev/null 2>&1
        done
    done
}
rm -f "$folder"/{desk,phone,dark}-*.png
sheets desk 720 620 2 4
sheets phone 360 760 4 8
sheets dark 360 760 4 8 --blink-settings=preferredColorScheme=0
echo "the mails and their pictures are in $folder"
