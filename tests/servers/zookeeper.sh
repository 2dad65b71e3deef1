# ZooKeeper 3.9 as its project publishes it: jars, from Maven's repository.

get_zookeeper() {
    local pom=tests/servers/zookeeper-$1/pom.xml version
    version=$(sed -n 's,.*<zookeeper.version>\(.*\)</zookeeper.version>.*,\1,p' "$pom")
    keep "zookeeper-$1" "zookeeper-$version-1" fetch_jars "$pom"
}

# fetch_jars POM TO: what the POM depends on, in TO/lib.
fetch_jars() {
    mvn --quiet --batch-mode -Dstyle.color=never --file "$1" dependency:copy-dependencies "-DoutputDirectory=$2/lib"
}
