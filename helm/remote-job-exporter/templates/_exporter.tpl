{{/* Keys of the exporter's configuration, from its models: python -m helm.generate */}}
{{- define "remote-job-exporter.lists" -}}
{
 "addresses": [
  "base_url",
  "proxy_url"
 ],
 "loginAddresses": [
  "token_url",
  "url"
 ],
 "files": [
  "ca_file",
  "crl_file",
  "cert_file",
  "key_file"
 ],
 "webFiles": [
  "cert_file",
  "key_file",
  "client_ca_file"
 ],
 "secretsByName": [
  "form",
  "headers",
  "query",
  "send"
 ],
 "jobSettings": [
  "name",
  "labels",
  "expect"
 ],
 "jobDefaults": {
  "codearts": {
   "build_no": "latest"
  }
 },
 "hash": "^\\$2[aby]\\$(\\d\\d)\\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}$"
}
{{- end }}
