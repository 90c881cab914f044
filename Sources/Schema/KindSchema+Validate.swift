public import Wire

extension KindSchema {
  /// Says what is wrong with an object that was decoded and defaulted.
  ///
  /// - Parameters:
  ///   - old: the stored object when this is an update; fields that may not change are compared with it.
  ///   - subresource: the subresource that is written. Those with rules of their own (`binding`, `resize`,
  ///     `ephemeralcontainers`) may change what the object's own URL may not.
  /// - Returns: nothing when the object may be stored; at most 100 errors.
  public func validate(_ json: JSON, old: JSON?, subresource: String = "") -> [FieldError] {
    var validator = Validator(subresource: subresource)
    validator.metadata(json, old: old, kind: self)
    validator.declared(json, root)
    strategy.validate?(&validator, json, old)
    return validator.errors
  }
}
