#!/bin/sh
# Makes the audio of the sample scripts: tunes of synthesised strings (sox) and greetings of synthesised
# speech (espeak-ng), encoded by opusenc. Run from the repository: sh tests/voice/samples.sh
set -eu
out=scripts/audio
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir -p "$out"

# tune NAME SECONDS-A-NOTE NOTES…
tune() {
	name=$1 length=$2
	shift 2
	parts=
	number=0
	for note in "$@"; do
		part="$work/$name-$number.wav"
		sox -n -r 48000 -c 1 "$part" synth "$length" pluck "$note" pluck "$note" gain -8 fade 0.005 "$length" 0.06
		parts="$parts $part"
		number=$((number + 1))
	done
	# shellcheck disable=SC2086
	sox $parts -b 16 "$work/$name.wav" reverb 25
	opusenc --quiet --bitrate 24 --title "$name" "$work/$name.wav" "$out/$name.opus"
}

tune morning 0.4 C4 E4 G4 C5 G4 E4 F4 A4 C5 F5 C5 A4 G4 B4 D5 G5 D5 B4 C5 G4 E4 C4
tune evening 0.6 A3 C4 E4 A4 G4 E4 D4 F4 A4 D5 C5 A4 E4 G#4 B4 A4
tune waiting 0.5 E4 G4 B4 G4 D4 F#4 A4 F#4 C4 E4 G4 E4 B3 D#4 F#4 D#4

# hello LANGUAGE VOICE TEXT
hello() {
	espeak-ng -v "$2" -s 150 -w "$work/hello-$1.wav" "$3"
	opusenc --quiet --bitrate 20 --speech "$work/hello-$1.wav" "$out/hello-$1.opus"
}

hello en en-gb "Hello! Say something, and I will repeat it."
hello de de "Hallo! Sag etwas, und ich wiederhole es."
hello es es "¡Hola! Di algo, y lo repetiré."
hello fr fr "Bonjour ! Dites quelque chose, et je le répète."
hello ru ru "Привет! Скажи что-нибудь, и я повторю."
