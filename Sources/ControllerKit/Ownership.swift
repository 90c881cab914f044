import KubeTypes
import Schema
import Wire

extension OwnerReference {
  /// The reference by which a controller owns what it makes: `controller` and `blockOwnerDeletion` are true
  /// (`metav1.NewControllerRef`).
  public static func controller(_ kind: GroupVersionKind, name: String, uid: String) -> OwnerReference {
    OwnerReference(json: [
      "apiVersion": .string(kind.apiVersion), "kind": .string(kind.kind), "name": .string(name), "uid": .string(uid),
      "controller": true, "blockOwnerDeletion": true,
    ])
  }

  public static func controller<K: KubeKind>(of object: K) -> OwnerReference {
    let header = ObjectHeader(object.json)
    return controller(K.groupVersionKind, name: header.name, uid: header.uid)
  }
}
