extension Toleration {
  /// Whether this toleration lets a pod stay with the taint (`v1.Toleration.ToleratesTaint`): an empty effect or key
  /// matches every effect or key; `Exists` ignores the value.
  public func tolerates(_ taint: Taint) -> Bool {
    let effect = self.effect ?? ""
    guard effect.isEmpty || effect == taint.effect ?? "" else { return false }
    let key = self.key ?? ""
    guard key.isEmpty || key == taint.key ?? "" else { return false }
    switch self.operator ?? "" {
    case "Exists": return true
    case "", "Equal": return !key.isEmpty && value ?? "" == taint.value ?? ""
    default: return false
    }
  }
}
