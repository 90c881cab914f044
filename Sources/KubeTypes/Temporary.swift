// TEMPORARY until schemac generates these two views: the schema helper deletes this file then.
import Wire
public struct ObjectMeta: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
}
public struct OwnerReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var apiVersion: String { json["apiVersion"]?.string ?? "" }
  public var kind: String { json["kind"]?.string ?? "" }
  public var name: String { json["name"]?.string ?? "" }
  public var uid: String { json["uid"]?.string ?? "" }
  public var controller: Bool? { json["controller"]?.bool }
  public var blockOwnerDeletion: Bool? { json["blockOwnerDeletion"]?.bool }
}
