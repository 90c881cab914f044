#!/bin/sh
# The page: version, pod and configuration. The secret is only ever shown as "set".
escape() { printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g'; }
row() { printf '<tr><th>%s</th><td>%s</td></tr>\n' "$1" "$(escape "$2")"; }
file=/etc/web-app/message.txt
[ -r "$file" ] && message=$(cat "$file") || message="(no $file)"
printf 'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\r\n'
cat <<PAGE
<!doctype html>
<html lang="en"><head><title>web-app $(escape "$APP_VERSION")</title>
<style>body{font:16px sans-serif;margin:3em auto;max-width:40em}th{text-align:left;padding-right:2em}</style></head>
<body><h1>$(escape "${GREETING:-Hello}") from version $(escape "$APP_VERSION")</h1>
<table>
PAGE
row "Version" "$APP_VERSION"
row "Pod" "${POD_NAME:-$(hostname)}"
row "Namespace" "${POD_NAMESPACE:-unknown}"
row "Pod address" "${POD_IP:-unknown}"
row "Node" "${NODE_NAME:-unknown}"
row "GREETING" "${GREETING:-(not set)}"
row "message.txt" "$message"
row "API_TOKEN" "${API_TOKEN:+set}"
echo '</table></body></html>'
