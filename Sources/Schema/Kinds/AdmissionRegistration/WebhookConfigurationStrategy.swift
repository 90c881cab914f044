import Wire

extension KindStrategy {
  static let mutatingWebhookConfiguration = KindStrategy(
    .v1("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    defaults: { configuration in
      configuration.modifyElements("webhooks") {
        Defaults.webhook(&$0)
        $0.setDefault("reinvocationPolicy", "Never")
      }
    },
    cells: { $0.webhookConfiguration })

  static let validatingWebhookConfiguration = KindStrategy(
    .v1("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    defaults: { $0.modifyElements("webhooks", Defaults.webhook) }, cells: { $0.webhookConfiguration })
}

extension Defaults {
  fileprivate static func webhook(_ webhook: inout JSON) {
    webhook.setDefault("failurePolicy", "Fail")
    webhook.setDefault("matchPolicy", "Equivalent")
    webhook.setDefault("namespaceSelector", [:])
    webhook.setDefault("objectSelector", [:])
    webhook.setDefault("timeoutSeconds", 10)
    webhook.modifyElements("rules") { $0.setDefault("scope", "*") }
    webhook.modify("clientConfig") { config in config.modify("service") { $0.setDefault("port", 443) } }
  }
}

extension TableRow {
  fileprivate var webhookConfiguration: [String: JSON] {
    ["Webhooks": .int(Int64(object["webhooks"]?.array?.count ?? 0))]
  }
}
